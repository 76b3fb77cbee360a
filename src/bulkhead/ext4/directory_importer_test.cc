#include "bulkhead/ext4/directory_importer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ext4 {
namespace {

class DirectoryImporterTest : public testing::Test {
 protected:
  DirectoryImporterTest() : top_(testing::TempDir() + "import-" + std::to_string(::getpid())) {
    EXPECT_THAT(os::make_directories(top_), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(top_), IsOk()); }

  [[nodiscard]] std::string path(const std::string& name) const { return top_ + "/" + name; }

  void file(const std::string& name, const std::string& content) const {
    const auto fd = os::open_file(path(name), O_WRONLY | O_CREAT | O_EXCL, 0640);
    ASSERT_THAT(fd, IsOk());
    ASSERT_THAT(os::write_all(fd->get(), as_bytes(content)), IsOk());
  }

  /// Imports the directory; the image is in bytes_ then.
  Result<DirectoryStats> import(const DirectoryOptions& options = {}) {
    MemoryDevice device;
    Formatter formatter = BH_TRY(Formatter::create(device, {}));
    const os::UniqueFd top = BH_TRY(os::open_file(top_, O_RDONLY | O_DIRECTORY));
    const DirectoryStats stats = BH_TRY(apply_directory(formatter, top.get(), options));
    const FormatResult result = BH_TRY(std::move(formatter).finish());
    bytes_ = device.read(0, result.size_bytes);
    return stats;
  }

  std::string top_;
  std::vector<std::byte> bytes_;
};

std::string content_of(Image& image, const std::string& path) {
  const auto inode = image.resolve(path);
  EXPECT_THAT(inode, IsOk());
  auto reader = image.open_file(*inode);
  EXPECT_THAT(reader, IsOk());
  std::string content(reader->size(), '\0');
  EXPECT_THAT(reader->read(0, std::as_writable_bytes(std::span(content))), IsOk());
  return content;
}

TEST_F(DirectoryImporterTest, CopiesEveryKindOfInode) {
  file("a", "content");
  ASSERT_THAT(os::make_directories(path("d/e")), IsOk());
  file("d/e/f", "deep");
  ASSERT_EQ(::link(path("a").c_str(), path("d/hard").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", path("link").c_str()), 0);
  ASSERT_THAT(os::make_fifo(path("fifo"), 0600), IsOk());
  const auto stats = import();
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->entries, 7U);
  EXPECT_EQ(stats->directories, 3U);
  EXPECT_EQ(stats->files, 2U);
  EXPECT_EQ(stats->content_bytes, 11U);
  EXPECT_EQ(stats->changed, 0U);
  MemorySource source(bytes_);
  auto image = Image::open(source);
  ASSERT_THAT(image, IsOk());
  EXPECT_EQ(content_of(*image, "d/e/f"), "deep");
  EXPECT_EQ(content_of(*image, "d/hard"), "content");
  const auto hard = image->resolve("d/hard");
  EXPECT_EQ(hard->links, 2U);
  EXPECT_EQ(hard->number, image->resolve("a")->number);
  EXPECT_EQ(hard->mode, S_IFREG | 0640);
  EXPECT_EQ(hard->uid, ::getuid());
  const auto link = image->resolve("link", LastLink::Keep);
  EXPECT_THAT(image->read_link(*link), IsOkAnd(std::string("/etc")));
  EXPECT_EQ(image->resolve("fifo")->mode, S_IFIFO | 0600);
}

TEST_F(DirectoryImporterTest, KeepsHolesAndAttributes) {
  {
    const auto fd = os::open_file(path("sparse"), O_WRONLY | O_CREAT | O_EXCL, 0644);
    ASSERT_THAT(fd, IsOk());
    ASSERT_THAT(os::pwrite_all(fd->get(), as_bytes("end"), std::uint64_t{3} << 30U), IsOk());
    ASSERT_THAT(os::set_file_size(fd->get(), std::uint64_t{8} << 30U), IsOk());
  }
  const bool has_xattrs = ::setxattr(path("sparse").c_str(), "user.x", "v", 1, 0) == 0;
  const auto stats = import({.content_bytes = 1U << 20U});
  ASSERT_THAT(stats, IsOk());
  MemorySource source(bytes_);
  auto image = Image::open(source);
  ASSERT_THAT(image, IsOk());
  const auto inode = image->resolve("sparse");
  ASSERT_THAT(inode, IsOk());
  EXPECT_EQ(inode->size, std::uint64_t{8} << 30U);
  EXPECT_LE(inode->sectors, 8U);
  const auto xattrs = image->xattrs(*inode);
  ASSERT_THAT(xattrs, IsOk());
  EXPECT_EQ(xattrs->size(), has_xattrs ? 1U : 0U);
}

TEST_F(DirectoryImporterTest, LeavesOutTheImageItself) {
  file("image", "x");
  file("other", "y");
  const auto excluded = os::open_file(path("image"), O_RDONLY);
  ASSERT_THAT(excluded, IsOk());
  ASSERT_THAT(import({.excluded = excluded->get()}), IsOk());
  MemorySource source(bytes_);
  auto image = Image::open(source);
  ASSERT_THAT(image, IsOk());
  EXPECT_THAT(image->resolve("image"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(image->resolve("other"), IsOk());
}

TEST_F(DirectoryImporterTest, MakesTheSameBytesFromTheSameTree) {
  for (int i = 0; i < 50; ++i) {
    file("file" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 100, 'x'));
  }
  ASSERT_THAT(import(), IsOk());
  const std::vector<std::byte> first = std::move(bytes_);
  ASSERT_THAT(import(), IsOk());
  EXPECT_TRUE(first == bytes_);
}

TEST_F(DirectoryImporterTest, ReachesPathsOfManyLevels) {
  std::string deep = "d";
  while (deep.size() < 3000) {
    deep += "/" + std::string(50, 'n');
  }
  ASSERT_THAT(os::make_directories(path(deep)), IsOk());
  ASSERT_THAT(import(), IsOk());
  MemorySource source(bytes_);
  auto image = Image::open(source);
  ASSERT_THAT(image, IsOk());
  EXPECT_THAT(image->resolve(deep), IsOk());
}

TEST_F(DirectoryImporterTest, RefusesMoreContentThanItMay) {
  file("a", std::string(5000, 'x'));
  EXPECT_THAT(import({.content_bytes = 4999}), IsError(ErrorCode::ResourceExhausted));
}

}  // namespace
}  // namespace bulkhead::ext4
