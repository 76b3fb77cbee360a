#include <unistd.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/disk_cli/command_line.h"
#include "bulkhead/disk_cli/disk.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/replace_file.h"

namespace bulkhead::disk_cli {
namespace {

using ::testing::HasSubstr;

Result<std::variant<Command, Help>> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "bulkhead-disk");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Result<> run(std::vector<const char*> words) {
  auto command = BH_TRY(parse(std::move(words)));
  return std::get<Command>(command)();
}

class DiskCliTest : public ::testing::Test {
 protected:
  DiskCliTest() : directory_(::testing::TempDir() + "disk-" + std::to_string(::getpid())) {
    EXPECT_THAT(os::make_directories(directory_), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  std::string path(const char* name) const { return directory_ + "/" + name; }

  std::string directory_;
};

TEST(DiskCommandLine, HasExamplesAndNamesMistakes) {
  const auto help = parse({"--help"});
  ASSERT_THAT(help, IsOk());
  EXPECT_THAT(std::get<Help>(*help).text, HasSubstr("bulkhead disk export"));
  EXPECT_THAT(parse({"ls"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"cat", "disk"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"format"}), IsError(ErrorCode::Invalid));
}

TEST_F(DiskCliTest, MakesADiskThatItReads) {
  const std::string disk = path("disk");
  ASSERT_THAT(run({"create", "--size", "8m", "--label", "data", "--journal", "4m", "--uuid",
                   "01234567-89ab-cdef-0123-456789abcdef", disk.c_str()}),
              IsOk());
  EXPECT_THAT(run({"check", disk.c_str()}), IsOk());
  EXPECT_THAT(run({"ls", "-l", disk.c_str()}), IsOk());
  EXPECT_THAT(run({"export", disk.c_str(), "-o", path("tar").c_str()}), IsOk());
  EXPECT_THAT(run({"cat", disk.c_str(), "absent"}), IsError(ErrorCode::NotFound));
  EXPECT_THAT(run({"create", "--size", "8m", disk.c_str()}), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(run({"create", "--size", "8m", "--force", disk.c_str()}), IsOk());
  ASSERT_THAT(run({"create", "--size", "8m", "--block-size", "1k", "--force", disk.c_str()}),
              IsOk());
  EXPECT_THAT(run({"check", disk.c_str()}), IsOk());
  EXPECT_THAT(run({"create", "--block-size", "3k", path("other").c_str()}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(run({"create", "--size", "8m", "--journal-mode", "data", path("other").c_str()}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(run({"create", "--size", "8m", "--journal", "4m", "--journal-mode", "fast",
                   path("other").c_str()}),
              IsError(ErrorCode::Invalid));
  auto opened = Disk::open(disk);
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->image().layout().label, "");
  EXPECT_EQ(opened->image().layout().block_size, 1024U);
}

TEST_F(DiskCliTest, TakesATarAndGivesFilesBack) {
  const std::string tar = path("tar");
  const std::string disk = path("disk");
  ASSERT_THAT(run({"create", disk.c_str()}), IsOk());
  ASSERT_THAT(run({"export", disk.c_str(), "-o", tar.c_str()}), IsOk());
  ASSERT_THAT(run({"create", "--from", tar.c_str(), path("again").c_str()}), IsOk());
  EXPECT_THAT(run({"check", path("again").c_str()}), IsOk());
  EXPECT_THAT(run({"cp", disk.c_str(), "/", directory_.c_str()}), IsError(ErrorCode::Invalid));
}

TEST_F(DiskCliTest, TakesADirectoryButNotTheImageInIt) {
  ASSERT_THAT(os::make_directories(path("tree/etc")), IsOk());
  ASSERT_THAT(os::replace_file(path("tree/etc/hostname"), "bulkhead"), IsOk());
  const std::string disk = path("tree/disk");
  ASSERT_THAT(run({"create", disk.c_str(), path("tree").c_str()}), IsOk());
  EXPECT_THAT(run({"check", disk.c_str()}), IsOk());
  auto opened = Disk::open(disk);
  ASSERT_THAT(opened, IsOk());
  EXPECT_THAT(opened->image().resolve("etc/hostname"), IsOk());
  const auto root = opened->image().resolve("");
  ASSERT_THAT(root, IsOk());
  EXPECT_EQ(opened->image().list(*root)->size(), 1U);
  EXPECT_THAT(run({"create", path("other").c_str(), path("absent").c_str()}),
              IsError(ErrorCode::NotFound));
  EXPECT_THAT(run({"create", "--from", "-", path("other").c_str(), path("tree").c_str()}),
              IsError(ErrorCode::Invalid));
}

TEST_F(DiskCliTest, LeavesNothingHalfMade) {
  ASSERT_THAT(os::replace_file(path("bad"), std::string(5000, 'x')), IsOk());
  EXPECT_THAT(run({"create", "--from", path("bad").c_str(), path("disk").c_str()}),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(run({"create", "--journal", "4m", path("disk").c_str()}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(run({"create", "--uuid", "x", path("disk").c_str()}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(os::list_directory(directory_), IsOkAnd(std::vector<std::string>{"bad"}));
  EXPECT_THAT(run({"check", path("bad").c_str()}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(run({"check", directory_.c_str()}), IsError(ErrorCode::Invalid));
}

TEST(Printable, HidesControlCharacters) {
  EXPECT_EQ(printable("a\x1b[b\\\xff c"), "a\\033[b\\134\\377 c");
}

}  // namespace
}  // namespace bulkhead::disk_cli
