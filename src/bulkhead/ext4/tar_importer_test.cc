#include "bulkhead/ext4/tar_importer.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/source.h"

namespace bulkhead::ext4 {
namespace {

using archive::TarBuilder;
using testing::HasSubstr;

class TarImporterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto created = Formatter::create(device_, {});
    ASSERT_THAT(created, IsOk());
    formatter_.emplace(std::move(*created));
  }

  Result<LayerStats> apply(const TarBuilder& tar, const LayerOptions& options = {}) {
    const std::string bytes = tar.finished();
    archive::BytesReader reader(as_bytes(bytes), 10'000);
    return apply_layer(*formatter_, reader, options);
  }

  [[nodiscard]] bool exists(std::string_view path) const { return formatter_->exists(path); }

  void TearDown() override { EXPECT_THAT(std::move(*formatter_).finish(), IsOk()); }

  MemoryDevice device_;
  std::optional<Formatter> formatter_;
};

TEST_F(TarImporterTest, CountsWhatItApplies) {
  const auto stats = apply(TarBuilder()
                               .directory("./")
                               .directory("bin")
                               .file("bin/sh", "12345")
                               .symlink("sh", "bin/sh")
                               .file(".wh.x", ""));
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->entries, 5U);
  EXPECT_EQ(stats->files, 1U);
  EXPECT_EQ(stats->directories, 2U);
  EXPECT_EQ(stats->content_bytes, 5U);
  EXPECT_EQ(stats->whiteouts, 1U);
}

TEST_F(TarImporterTest, AppliesWhiteouts) {
  ASSERT_THAT(apply(TarBuilder().file("a/x", "").file("a/y", "").file("b/x", "").file("c", "")),
              IsOk());
  ASSERT_THAT(apply(TarBuilder()
                        .file("a/new", "")
                        .file("a/.wh..wh..opq", "")
                        .file("b/.wh.x", "")
                        .file(".wh.c", "")
                        .file("c", "again")
                        .file(".wh..wh.plnk/1.2", "")
                        .file("absent/.wh.x", "")),
              IsOk());
  EXPECT_FALSE(exists("a/x"));
  EXPECT_FALSE(exists("a/y"));
  EXPECT_TRUE(exists("a/new"));
  EXPECT_FALSE(exists("b/x"));
  EXPECT_TRUE(exists("c"));
  EXPECT_FALSE(exists(".wh..wh.plnk"));
  EXPECT_FALSE(exists("absent"));
}

TEST_F(TarImporterTest, RefusesWhiteoutsOfNothing) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh."}) {
    EXPECT_THAT(apply(TarBuilder().file(name, "")), IsError(ErrorCode::Invalid)) << name;
  }
}

TEST_F(TarImporterTest, TakesWhiteoutNamesLiterallyInARootFileSystem) {
  ASSERT_THAT(apply(TarBuilder().file(".wh.x", ""), {.whiteouts = Whiteouts::Ignore}), IsOk());
  EXPECT_TRUE(exists(".wh.x"));
}

TEST_F(TarImporterTest, KeepsWritesThroughLinksInTheImage) {
  ASSERT_THAT(apply(TarBuilder().symlink("d", "/tmp/probe").file("d/x", "1")), IsOk());
  EXPECT_TRUE(exists("tmp/probe/x"));
  ASSERT_THAT(apply(TarBuilder().symlink("e", "../../../../tmp/probe").file("e/y", "2")), IsOk());
  EXPECT_TRUE(exists("tmp/probe/y"));
  ASSERT_THAT(apply(TarBuilder().file("d/.wh.x", "").hard_link("d/z", "e/y")), IsOk());
  EXPECT_FALSE(exists("tmp/probe/x"));
  EXPECT_TRUE(exists("tmp/probe/z"));
}

TEST_F(TarImporterTest, NamesTheEntryInErrors) {
  const auto link = apply(TarBuilder().hard_link("early", "later").file("later", ""));
  ASSERT_THAT(link, IsError(ErrorCode::Invalid));
  EXPECT_THAT(link.error().message(), HasSubstr("\"early\""));
  const auto name = apply(TarBuilder().file("../../etc/cron.d/x", ""));
  ASSERT_THAT(name, IsError(ErrorCode::Invalid));
  EXPECT_THAT(name.error().message(), HasSubstr("../../etc/cron.d/x"));
  const auto parent = apply(TarBuilder().file("f", "").file("f/g", ""));
  ASSERT_THAT(parent, IsError(ErrorCode::Invalid));
  EXPECT_THAT(parent.error().message(), HasSubstr("\"f/g\""));
  EXPECT_THAT(apply(TarBuilder().directory("dir").hard_link("x", "dir")),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(apply(TarBuilder().symlink("a", "b").symlink("b", "a").file("a/x", "")),
              IsError(ErrorCode::Invalid));
}

TEST_F(TarImporterTest, DropsAttributesThatWouldSteerTheMount) {
  const auto stats = apply(TarBuilder().add({.name = "d",
                                             .type = '5',
                                             .pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"},
                                                     {"SCHILY.xattr.user.overlay.redirect", "/x"},
                                                     {"SCHILY.xattr.system.data", "x"},
                                                     {"SCHILY.xattr.user.kept", "x"}}}));
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->dropped_xattrs, 3U);
}

TEST_F(TarImporterTest, LimitsAttributesAndContent) {
  EXPECT_THAT(apply(TarBuilder().add(
                  {.name = "f", .pax = {{"SCHILY.xattr.user.a", std::string(10'000, 'v')}}})),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(apply(TarBuilder().file("a", "123").file("b", "456"), {.content_bytes = 5}),
              IsError(ErrorCode::ResourceExhausted));
}

TEST_F(TarImporterTest, LetsTheLastOfEqualNamesWin) {
  TarBuilder tar;
  for (int i = 0; i < 1000; ++i) {
    tar.file("same", std::to_string(i));
    if (i % 3 == 0) {
      tar.directory("same");
    }
  }
  ASSERT_THAT(apply(tar.directory("same").file("same/inside", "")), IsOk());
  EXPECT_TRUE(exists("same/inside"));
}

TEST_F(TarImporterTest, ReadsTheStreamToItsEnd) {
  const std::string bytes = TarBuilder().file("a", "x").finished() + std::string(50'000, '\0');
  archive::BytesReader reader(as_bytes(bytes), 1000);
  ASSERT_THAT(apply_layer(*formatter_, reader), IsOk());
  EXPECT_TRUE(reader.next()->empty());
}

TEST(TarImporter, TimesAreKeptOrAsCloseAsExt4HasThem) {
  const struct {
    const char* name;
    const char* mtime;
    Timestamp kept;
  } times[] = {
      {"year-1", "-62135596800", {-2147483648, 0}},
      {"before-1970", "-1.5", {-2, 500'000'000}},
      {"after-2038", "2147483648.999999999", {2147483648, 999'999'999}},
      {"last", "15032385535", {15032385535, 0}},
      {"beyond", "9223372036854775807", {15032385535, 0}},
  };

  MemoryDevice device;
  auto formatter = Formatter::create(device, {});
  ASSERT_THAT(formatter, IsOk());
  TarBuilder tar;
  for (const auto& time : times) {
    tar.add({.name = time.name, .pax = {{"mtime", time.mtime}}});
  }
  const std::string bytes = tar.finished();
  archive::BytesReader reader(as_bytes(bytes));
  ASSERT_THAT(apply_layer(*formatter, reader), IsOk());
  const auto result = std::move(*formatter).finish();
  ASSERT_THAT(result, IsOk());
  const std::vector<std::byte> content = device.read(0, result->size_bytes);
  MemorySource source(content);
  auto image = Image::open(source);
  ASSERT_THAT(image, IsOk());
  for (const auto& time : times) {
    const auto inode = image->resolve(time.name);
    ASSERT_THAT(inode, IsOk());
    EXPECT_EQ(inode->modified.seconds, time.kept.seconds) << time.name;
    EXPECT_EQ(inode->modified.nanoseconds, time.kept.nanoseconds) << time.name;
  }
}

}  // namespace
}  // namespace bulkhead::ext4
