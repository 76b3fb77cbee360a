#include "bulkhead/ext4/formatter.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/os/copy_range.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"

// What other programs think of the images is in tests/system/ext4_oracle.

namespace bulkhead::ext4 {
namespace {

constexpr std::uint64_t kMebibyte = 1U << 20U;
constexpr std::uint64_t kBlockSize = 4096;

Superblock superblock_of(const MemoryDevice& device) {
  const std::vector<std::byte> bytes = device.read(kSuperblockOffset, sizeof(Superblock));
  Superblock super;
  std::memcpy(&super, bytes.data(), sizeof super);
  return super;
}

class FormatterTest : public testing::Test {
 protected:
  void SetUp() override { restart({}); }

  void restart(const FormatOptions& options) {
    auto created = Formatter::create(device_, options);
    ASSERT_THAT(created, IsOk());
    formatter_.emplace(std::move(*created));
  }

  Result<> file(std::string_view path, std::string_view content) {
    BH_TRY(formatter_->begin_file(path, {}));
    BH_TRY(formatter_->append(as_bytes(content)));
    return formatter_->end_file();
  }

  Result<FormatResult> finish() { return std::move(*formatter_).finish(); }

  MemoryDevice device_;
  std::optional<Formatter> formatter_;
};

TEST_F(FormatterTest, WritesASuperblockWithAChecksum) {
  ASSERT_THAT(file("etc/hostname", "bulkhead"), IsOk());
  const auto result = finish();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->inodes, 12U);
  EXPECT_EQ(device_.size(), result->size_bytes);
  const Superblock super = superblock_of(device_);
  EXPECT_EQ(super.magic, 0xef53);
  EXPECT_EQ(super.checksum, crc32c(0xffffffff, object_bytes(super).first(1020)));
  EXPECT_EQ(std::uint64_t{super.blocks_count_lo} * kBlockSize, result->size_bytes);
}

TEST_F(FormatterTest, SaysTheJournalsMode) {
  struct Case {
    std::optional<JournalMode> mode;
    std::uint32_t bits;  // beside user_xattr and acl
  };

  for (const Case& each : {Case{std::nullopt, 0x0c}, Case{JournalMode::Data, 0x2c},
                           Case{JournalMode::Ordered, 0x4c}, Case{JournalMode::Writeback, 0x6c}}) {
    MemoryDevice device;
    auto formatter = Formatter::create(
        device,
        {.size_bytes = 16 * kMebibyte, .journal_bytes = 4 * kMebibyte, .journal_mode = each.mode});
    ASSERT_THAT(formatter, IsOk());
    ASSERT_THAT(std::move(*formatter).finish(), IsOk());
    EXPECT_EQ(superblock_of(device).default_mount_opts, each.bits);
  }
  EXPECT_THAT(
      Formatter::create(device_, {.size_bytes = 16 * kMebibyte, .journal_mode = JournalMode::Data}),
      IsError(ErrorCode::Invalid));
}

TEST_F(FormatterTest, WritesNoSuperblockBeforeTheEnd) {
  ASSERT_THAT(file("f", std::string(1U << 20U, 'x')), IsOk());
  formatter_.reset();
  EXPECT_NE(superblock_of(device_).magic, 0xef53);
}

TEST_F(FormatterTest, MakesTheSameBytesFromTheSameInput) {
  const auto build = [&] {
    MemoryDevice fresh;
    auto made = Formatter::create(fresh, {});
    EXPECT_THAT(made->make_directory("a", {}), IsOk());
    EXPECT_THAT(made->begin_file("a/f", {}), IsOk());
    EXPECT_THAT(made->append(as_bytes("content")), IsOk());
    const auto result = std::move(*made).finish();
    return fresh.read(0, result->size_bytes);
  };
  EXPECT_TRUE(build() == build());
}

TEST_F(FormatterTest, LeavesOutBlocksOfZeros) {
  ASSERT_THAT(file("zeros", std::string(64 * kMebibyte, '\0')), IsOk());
  ASSERT_THAT(formatter_->begin_file("hole", {}), IsOk());
  ASSERT_THAT(formatter_->append(as_bytes("x")), IsOk());
  ASSERT_THAT(formatter_->append_hole(std::uint64_t{100} << 30U), IsOk());
  ASSERT_THAT(formatter_->append(as_bytes("y")), IsOk());
  const auto result = finish();
  ASSERT_THAT(result, IsOk());
  EXPECT_LT(result->used_bytes, kMebibyte);
}

TEST_F(FormatterTest, FreesBlocksOfReplacedFiles) {
  restart({.size_bytes = 4 * kMebibyte});
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(file("f", std::string(kMebibyte, static_cast<char>('a' + i))), IsOk()) << i;
  }
  ASSERT_THAT(formatter_->remove("f"), IsOk());
  ASSERT_THAT(file("d/e/f", std::string(2 * kMebibyte, 'x')), IsOk());
  ASSERT_THAT(file("d", std::string(2 * kMebibyte, 'y')), IsOk());
  ASSERT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, FillsEveryBlockButTheMetadataOfItsGroups) {
  for (const std::uint32_t block_size : {1024U, 2048U, 4096U}) {
    restart({.size_bytes = 20 * kMebibyte, .block_size = block_size});
    const std::string block(block_size, 'x');
    ASSERT_THAT(formatter_->begin_file("f", {}), IsOk());
    std::uint64_t written = 0;
    while (written < 18 * kMebibyte) {
      ASSERT_THAT(formatter_->append(as_bytes(block)), IsOk()) << written;
      written += block_size;
    }
    const auto result = finish();
    ASSERT_THAT(result, IsOk());
    EXPECT_GT(result->used_bytes, written);
    EXPECT_EQ(result->size_bytes, 20 * kMebibyte);
  }
}

TEST_F(FormatterTest, TakesTargetsOfLinksThatFitABlock) {
  restart({.block_size = 1024});
  EXPECT_THAT(formatter_->make_symlink("s", std::string(1023, 't'), {}), IsOk());
  EXPECT_THAT(formatter_->make_symlink("s", std::string(1024, 't'), {}),
              IsError(ErrorCode::Invalid));
}

TEST_F(FormatterTest, FailsWithNoSpaceWhenFull) {
  restart({.size_bytes = 2 * kMebibyte});
  EXPECT_THAT(file("f", std::string(3 * kMebibyte, 'x')), IsError(ErrorCode::NoSpace));
  restart({.limit_bytes = 2 * kMebibyte});
  EXPECT_THAT(file("f", std::string(3 * kMebibyte, 'x')), IsError(ErrorCode::NoSpace));
  restart({.size_bytes = 2 * kMebibyte, .bytes_per_inode = 1U << 20U});
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(file("f" + std::to_string(i), ""), IsOk());
  }
  EXPECT_THAT(finish(), IsError(ErrorCode::NoSpace));
}

TEST_F(FormatterTest, ReplacesByTheRulesOfLayers) {
  ASSERT_THAT(file("d/f", "1"), IsOk());
  ASSERT_THAT(formatter_->make_directory("d", {.permissions = 0700}), IsOk());
  EXPECT_TRUE(formatter_->exists("d/f"));
  ASSERT_THAT(formatter_->make_symlink("d", "elsewhere", {}), IsOk());
  EXPECT_FALSE(formatter_->exists("d/f"));
  ASSERT_THAT(file("d/f", "2"), IsOk());
  EXPECT_TRUE(formatter_->exists("elsewhere/f"));
  ASSERT_THAT(formatter_->make_directory("d", {}), IsOk());
  EXPECT_FALSE(formatter_->exists("d/f"));
  EXPECT_TRUE(formatter_->exists("elsewhere/f"));
  EXPECT_THAT(file("", "root"), IsError(ErrorCode::Invalid));
  ASSERT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, WhitesOutOnlyLowerLayers) {
  ASSERT_THAT(file("d/lower", ""), IsOk());
  ASSERT_THAT(file("d/sub/lower", ""), IsOk());
  ASSERT_THAT(file("d/gone/lower", ""), IsOk());
  formatter_->begin_layer();
  ASSERT_THAT(file("d/sub/upper", ""), IsOk());
  ASSERT_THAT(file("d/upper", ""), IsOk());
  ASSERT_THAT(formatter_->white_out_children("d"), IsOk());
  ASSERT_THAT(file("d/later", ""), IsOk());
  for (const char* gone : {"d/lower", "d/sub/lower", "d/gone"}) {
    EXPECT_FALSE(formatter_->exists(gone)) << gone;
  }
  for (const char* kept : {"d/upper", "d/sub/upper", "d/later"}) {
    EXPECT_TRUE(formatter_->exists(kept)) << kept;
  }
  ASSERT_THAT(formatter_->white_out("d/upper"), IsOk());
  EXPECT_TRUE(formatter_->exists("d/upper"));
  formatter_->begin_layer();
  ASSERT_THAT(formatter_->white_out("d/upper"), IsOk());
  EXPECT_FALSE(formatter_->exists("d/upper"));
  ASSERT_THAT(formatter_->white_out("not/there"), IsOk());
  EXPECT_FALSE(formatter_->exists("not"));
  EXPECT_THAT(formatter_->white_out(""), IsError(ErrorCode::Invalid));
  ASSERT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, LinksAcrossLayersAndIntoWhatIsReplaced) {
  ASSERT_THAT(file("a/f", "content"), IsOk());
  formatter_->begin_layer();
  ASSERT_THAT(formatter_->make_hard_link("b/g", "a/f"), IsOk());
  ASSERT_THAT(formatter_->make_hard_link("a", "a/f"), IsOk());  // over the directory it is in
  EXPECT_TRUE(formatter_->exists("a"));
  EXPECT_FALSE(formatter_->exists("a/f"));
  ASSERT_THAT(formatter_->make_hard_link("a", "b/g"), IsOk());  // to itself
  EXPECT_THAT(formatter_->make_hard_link("x", "absent"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_hard_link("x", "b"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_hard_link("x", ""), IsError(ErrorCode::Invalid));
  ASSERT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, ChangesAttributesOfWhatIsThere) {
  ASSERT_THAT(file("f", "content"), IsOk());
  EXPECT_THAT(formatter_->change_attributes("f", {.permissions = 0600, .uid = 7}), IsOk());
  EXPECT_THAT(formatter_->change_attributes("", {.gid = 9, .modified = Timestamp{.seconds = 5}}),
              IsOk());
  EXPECT_THAT(formatter_->change_attributes("absent", {}), IsError(ErrorCode::NotFound));
  EXPECT_THAT(formatter_->change_attributes("f/x", {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->set_xattr("f", {.name = "user.a", .value = as_bytes("1")}), IsOk());
  EXPECT_THAT(formatter_->set_xattr("f", {.name = "user.b", .value = as_bytes("2")}), IsOk());
  EXPECT_THAT(formatter_->set_xattr("f", {.name = "user.a", .value = as_bytes("3")}), IsOk());
  EXPECT_THAT(formatter_->remove_xattr("f", "user.b"), IsOk());
  EXPECT_THAT(formatter_->remove_xattr("f", "user.b"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(formatter_->remove_xattr("f", "strange.b"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(formatter_->set_xattr("f", {.name = "strange.a", .value = {}}),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, RenamesByTheRulesOfTheSystemCall) {
  ASSERT_THAT(file("a/f", "1"), IsOk());
  ASSERT_THAT(file("a/sub/g", "2"), IsOk());
  ASSERT_THAT(formatter_->make_directory("empty", {}), IsOk());
  ASSERT_THAT(formatter_->make_hard_link("hard", "a/f"), IsOk());
  EXPECT_THAT(formatter_->rename("hard", "a/f"), IsOk());
  EXPECT_TRUE(formatter_->exists("hard"));
  EXPECT_THAT(formatter_->rename("a", "a/sub/a"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("a", "hard"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("hard", "empty"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("empty", "a"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("", "x"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("absent", "x"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(formatter_->rename("a", "absent/x"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(formatter_->rename("a", std::string(256, 'n')), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->rename("a", "empty"), IsOk());
  EXPECT_FALSE(formatter_->exists("a"));
  EXPECT_TRUE(formatter_->exists("empty/sub/g"));
  EXPECT_THAT(formatter_->rename("empty/sub", "up"), IsOk());
  EXPECT_TRUE(formatter_->exists("up/g"));
  EXPECT_TRUE(formatter_->exists("up/../hard"));
  EXPECT_THAT(formatter_->rename("up/g", "empty/f"), IsOk());
  EXPECT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, LimitsTheLevelsOfWhatIsMoved) {
  std::string deep = "d";
  for (int i = 0; i < 1500; ++i) {
    deep += "/d";
  }
  ASSERT_THAT(formatter_->make_directory(deep, {}), IsOk());
  ASSERT_THAT(formatter_->make_directory("e" + deep, {}), IsOk());
  EXPECT_THAT(formatter_->rename("ed", deep + "/x"), IsError(ErrorCode::Invalid));
  EXPECT_TRUE(formatter_->exists("ed"));
  EXPECT_THAT(finish(), IsOk());
}

TEST_F(FormatterTest, LimitsLinksOfOneFile) {
  ASSERT_THAT(file("f", ""), IsOk());
  for (std::uint32_t i = 1; i < kMaxLinks; ++i) {
    ASSERT_THAT(formatter_->make_hard_link("l" + std::to_string(i), "f"), IsOk());
  }
  EXPECT_THAT(formatter_->make_hard_link("one-more", "f"), IsError(ErrorCode::ResourceExhausted));
}

TEST_F(FormatterTest, ChecksSymlinksDevicesAndState) {
  EXPECT_THAT(formatter_->make_symlink("s", "", {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_symlink("s", std::string(4096, 't'), {}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_symlink("s", std::string_view("a\0b", 3), {}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_node("n", NodeType::BlockDevice, {4096, 0}, {}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->make_node("n", NodeType::BlockDevice, {0, 1U << 20U}, {}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(formatter_->append(as_bytes("x")), IsError(ErrorCode::FailedPrecondition));
}

TEST_F(FormatterTest, RefusesOptionsThatMakeNoFileSystem) {
  EXPECT_THAT(Formatter::create(device_, {.size_bytes = 4096}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Formatter::create(device_, {.block_size = 512}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Formatter::create(device_, {.block_size = 8192}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Formatter::create(device_, {.label = "longer than sixteen"}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(Formatter::create(device_, {.journal_bytes = 16 * kMebibyte}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(Formatter::create(device_, {.size_bytes = 64 * kMebibyte, .journal_bytes = 4096}),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(
      Formatter::create(device_, {.size_bytes = 8 * kMebibyte, .journal_bytes = 16 * kMebibyte}),
      IsError(ErrorCode::NoSpace));
}

TEST(FormatScratch, WritesAFewBlocksOfASparseFile) {
  const auto file = os::make_memfd("scratch");
  ASSERT_THAT(file, IsOk());
  const auto result = format_scratch(file->get(), std::uint64_t{10} << 30U);
  ASSERT_THAT(result, IsOk());
  const auto space = os::file_space(file->get());
  ASSERT_THAT(space, IsOk());
  EXPECT_EQ(space->size, std::uint64_t{10} << 30U);
  EXPECT_LE(space->allocated_bytes, 64U << 10U);
}

TEST_F(FormatterTest, KeepsWhatWasReplacedWhereItWas) {
  restart({.keep_replaced = true});
  ASSERT_THAT(file("first", std::string(kBlockSize, '1')), IsOk());
  const std::uint64_t first = formatter_->content().front().start;
  ASSERT_THAT(file("second", std::string(kBlockSize, '2')), IsOk());
  const std::uint64_t second = formatter_->content().front().start;
  ASSERT_THAT(formatter_->remove("second"), IsOk());
  ASSERT_THAT(file("first", std::string(kBlockSize, '3')), IsOk());
  EXPECT_GT(formatter_->content().front().start, second);
  const auto result = finish();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(as_text(device_.read(first * kBlockSize, 1)), "1");
  EXPECT_EQ(as_text(device_.read(second * kBlockSize, 1)), "2");
  EXPECT_LE(result->used_bytes, result->size_bytes - 2 * kBlockSize);
  MemoryDevice other;
  EXPECT_THAT(Formatter::create(other, {.size_bytes = kMebibyte, .keep_replaced = true}),
              IsError(ErrorCode::Invalid));
}

TEST_F(FormatterTest, CopiesBlocksOfAnotherFile) {
  const auto source = os::make_memfd("source");
  ASSERT_THAT(source, IsOk());
  const std::string content = std::string(kBlockSize, 'a') + std::string(100, 'b');
  ASSERT_THAT(os::pwrite_all(source->get(), as_bytes(content), kBlockSize), IsOk());
  ASSERT_THAT(os::set_file_size(source->get(), 3 * kBlockSize), IsOk());
  ASSERT_THAT(formatter_->begin_file("f", {}), IsOk());
  ASSERT_THAT(formatter_->append_hole(2 * kBlockSize), IsOk());
  const os::FileRange range{source->get(), kBlockSize, kBlockSize + 100};
  ASSERT_THAT(formatter_->append_copy(range), IsOk());
  // The file has its end now.
  EXPECT_THAT(formatter_->append(as_bytes("x")), IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(formatter_->append_hole(1), IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(formatter_->append_copy(range), IsError(ErrorCode::FailedPrecondition));
  ASSERT_THAT(formatter_->end_file(), IsOk());
  ASSERT_EQ(formatter_->content().size(), 1U);
  const Extent extent = formatter_->content().front();
  EXPECT_EQ(extent.logical, 2U);
  EXPECT_EQ(extent.count, 2U);
  ASSERT_THAT(formatter_->flush(), IsOk());
  EXPECT_EQ(as_text(device_.read(extent.start * kBlockSize, content.size())), content);
  ASSERT_THAT(formatter_->begin_file("g", {}), IsOk());
  ASSERT_THAT(formatter_->append(as_bytes("x")), IsOk());
  EXPECT_THAT(formatter_->append_copy(range), IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(finish(), IsOk());
}

TEST(FormatEmpty, WritesLittleMoreThanDescriptors) {
  for (const std::uint32_t block_size : {1024U, 2048U, 4096U}) {
    constexpr std::uint64_t kSize = std::uint64_t{1} << 40U;
    const auto file = os::make_memfd("empty");
    ASSERT_THAT(file, IsOk());
    ASSERT_THAT(format_empty(file->get(), {.size_bytes = kSize, .block_size = block_size}), IsOk());
    const auto space = os::file_space(file->get());
    ASSERT_THAT(space, IsOk());
    const std::uint64_t descriptors =
        kSize / (std::uint64_t{8} * block_size * block_size) * sizeof(GroupDescriptor);
    // A page of memory is taken for every block of descriptors that lies alone.
    EXPECT_LE(space->allocated_bytes, descriptors * (4096 / block_size) + (64U << 10U));
  }
}

}  // namespace
}  // namespace bulkhead::ext4
