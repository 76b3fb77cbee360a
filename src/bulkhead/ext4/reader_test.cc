#include "bulkhead/ext4/reader.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/source.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kBlockSize = 4096;

using ::testing::HasSubstr;

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;

template <class T>
T load(Bytes image, std::uint64_t offset) {
  T object;
  std::memcpy(&object, image.data() + offset, sizeof object);
  return object;
}

template <class T>
void store(std::vector<std::byte>& image, std::uint64_t offset, const T& object) {
  std::memcpy(image.data() + offset, &object, sizeof object);
}

Result<std::string> content_of(Image& image, const Inode& inode) {
  FileReader file = BH_TRY(image.open_file(inode));
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  const std::size_t size = BH_TRY(file.read(0, std::as_writable_bytes(std::span(text))));
  text.resize(size);
  return text;
}

/// Looks at everything below a directory. `left` bounds the directories.
Result<> visit(Image& image, const Inode& inode, int& left) {
  std::ignore = BH_TRY(image.xattrs(inode));
  if (inode.is_symlink()) {
    std::ignore = BH_TRY(image.read_link(inode));
  } else if (inode.is_file()) {
    FileReader file = BH_TRY(image.open_file(inode));
    std::vector<std::byte> buffer(65536);
    for (std::uint64_t at = 0, parts = 0; at < file.size() && parts < 100; ++parts) {
      const FilePart part = BH_TRY(file.part(at));
      if (!part.is_hole) {
        std::ignore = BH_TRY(file.read(at, buffer));
      }
      at += part.length;
    }
  } else if (inode.is_directory() && left-- > 0) {
    const std::vector<NamedEntry> entries = BH_TRY(image.list(inode));
    for (const NamedEntry& entry : entries) {
      const Inode child = BH_TRY(image.inode(entry.inode));
      BH_TRY(visit(image, child, left));
    }
  }
  return {};
}

Result<> visit_all(Bytes bytes) {
  MemorySource source(bytes);
  Image image = BH_TRY(Image::open(source));
  const Inode root = BH_TRY(image.inode(kRootInode));
  int left = 1000;
  return visit(image, root, left);
}

class ReaderTest : public ::testing::Test {
 protected:
  void SetUp() override { restart({}); }

  void restart(const FormatOptions& options) {
    auto created = Formatter::create(device_, options);
    ASSERT_THAT(created, IsOk());
    formatter_.emplace(std::move(*created));
  }

  void file(std::string_view path, std::string_view content, std::span<const Xattr> xattrs = {}) {
    ASSERT_THAT(formatter_->begin_file(path, {}, xattrs), IsOk());
    ASSERT_THAT(formatter_->append(as_bytes(content)), IsOk());
    ASSERT_THAT(formatter_->end_file(), IsOk());
  }

  /// Ends the image and opens it.
  Image& open() {
    const auto result = std::move(*formatter_).finish();
    EXPECT_THAT(result, IsOk());
    bytes_ = device_.read(0, static_cast<std::size_t>(result->size_bytes));
    return reopen();
  }

  Image& reopen() {
    source_.emplace(bytes_);
    auto opened = Image::open(*source_);
    EXPECT_THAT(opened, IsOk());
    image_.emplace(std::move(*opened));
    return *image_;
  }

  std::string read(std::string_view path) {
    const auto inode = image_->resolve(path);
    EXPECT_THAT(inode, IsOk());
    const auto content = content_of(*image_, *inode);
    EXPECT_THAT(content, IsOk());
    return *content;
  }

  /// A tree with something of everything.
  void make_tree() {
    const std::string large(300, 'v');
    const std::array<Xattr, 2> xattrs{Xattr{"user.small", as_bytes("1")},
                                      Xattr{"trusted.large", as_bytes(large)}};
    file("etc/hostname", "bulkhead\n", xattrs);
    ASSERT_THAT(formatter_->make_symlink("short", "etc/hostname", {}), IsOk());
    ASSERT_THAT(formatter_->make_symlink("long", std::string(200, 'l'), {}), IsOk());
    ASSERT_THAT(formatter_->make_hard_link("hard", "etc/hostname"), IsOk());
    ASSERT_THAT(formatter_->make_node("null", NodeType::CharacterDevice, {1, 3}, {}), IsOk());
    ASSERT_THAT(formatter_->make_node("disk", NodeType::BlockDevice, {259, 70000}, {}), IsOk());
    for (int i = 0; i < 500; ++i) {
      file("many/with-a-long-name-" + std::to_string(i), "");
    }
    ASSERT_THAT(formatter_->begin_file("deep", {}), IsOk());
    for (int i = 0; i < 700; ++i) {
      ASSERT_THAT(formatter_->append(as_bytes(std::string(4096, static_cast<char>('a' + i % 26)))),
                  IsOk());
      ASSERT_THAT(formatter_->append_hole(4096), IsOk());
    }
    ASSERT_THAT(formatter_->end_file(), IsOk());
  }

  MemoryDevice device_;
  std::optional<Formatter> formatter_;
  std::vector<std::byte> bytes_;
  std::optional<MemorySource> source_;
  std::optional<Image> image_;
};

TEST_F(ReaderTest, ReadsWhatTheFormatterWrote) {
  make_tree();
  Image& image = open();
  EXPECT_EQ(read("etc/hostname"), "bulkhead\n");
  EXPECT_EQ(read("/short"), "bulkhead\n");
  EXPECT_EQ(image.resolve("hard")->number, image.resolve("etc/hostname")->number);
  EXPECT_EQ(image.resolve("hard")->links, 2U);
  const auto link = image.resolve("long", LastLink::Keep);
  ASSERT_THAT(link, IsOk());
  EXPECT_THAT(image.read_link(*link), IsOkAnd(std::string(200, 'l')));
  EXPECT_EQ(image.resolve("null")->device.minor, 3U);
  EXPECT_EQ(image.resolve("disk")->device.major, 259U);
  EXPECT_EQ(image.resolve("disk")->device.minor, 70000U);
  const auto many = image.resolve("many");
  ASSERT_THAT(many, IsOk());
  const auto entries = image.list(*many);
  ASSERT_THAT(entries, IsOk());
  EXPECT_EQ(entries->size(), 500U);
  const auto xattrs = image.xattrs(*image.resolve("hard"));
  ASSERT_THAT(xattrs, IsOk());
  ASSERT_EQ(xattrs->size(), 2U);
  EXPECT_EQ(xattrs->front().name, "user.small");
  EXPECT_EQ(as_text(xattrs->back().value), std::string(300, 'v'));
}

TEST_F(ReaderTest, ReadsRangesOfADeepExtentTree) {
  make_tree();
  Image& image = open();
  const std::string content = read("deep");
  ASSERT_EQ(content.size(), 1400U * 4096);
  for (std::size_t i = 0; i < 700; ++i) {
    ASSERT_EQ(content[i * 8192], static_cast<char>('a' + i % 26)) << i;
    ASSERT_EQ(content[i * 8192 + 4096], '\0') << i;
  }
  auto file = image.open_file(*image.resolve("deep"));
  ASSERT_THAT(file, IsOk());
  std::array<std::byte, 3> three{};
  EXPECT_THAT(file->read(8192 * 30 + 4094, three), IsOkAnd(3U));
  EXPECT_EQ(as_text(three), std::string_view("ee\0", 3));
  EXPECT_THAT(file->read(content.size(), three), IsOkAnd(0U));
  const auto hole = file->part(4096);
  ASSERT_THAT(hole, IsOk());
  EXPECT_TRUE(hole->is_hole);
  EXPECT_EQ(hole->length, 4096U);
}

TEST_F(ReaderTest, ConvertsAcls) {
  // version, then tag, permissions, id
  const std::vector<std::uint8_t> acl{2,    0,    0, 0, 1,    0,    7,    0,    0xff, 0xff,
                                      0xff, 0xff, 2, 0, 6,    0,    0xe8, 0x03, 0,    0,
                                      4,    0,    5, 0, 0xff, 0xff, 0xff, 0xff};
  const std::array<Xattr, 1> xattrs{
      Xattr{"system.posix_acl_access", std::as_bytes(std::span(acl))}};
  file("f", "", xattrs);
  Image& image = open();
  const auto read_back = image.xattrs(*image.resolve("f"));
  ASSERT_THAT(read_back, IsOk());
  ASSERT_EQ(read_back->size(), 1U);
  EXPECT_EQ(as_text(read_back->front().value), as_text(std::as_bytes(std::span(acl))));
}

TEST_F(ReaderTest, FollowsLinksInsideTheImageOnly) {
  file("a/b/f", "inside");
  ASSERT_THAT(formatter_->make_symlink("a/up", "../../../a/b", {}), IsOk());
  ASSERT_THAT(formatter_->make_symlink("absolute", "/a/b/f", {}), IsOk());
  ASSERT_THAT(formatter_->make_symlink("loop", "loop", {}), IsOk());
  ASSERT_THAT(formatter_->make_symlink("nowhere", "gone", {}), IsOk());
  Image& image = open();
  EXPECT_EQ(read("a/up/f"), "inside");
  EXPECT_EQ(read("a/up/../up/f"), "inside");  // ".." of what the link names
  EXPECT_EQ(read("absolute"), "inside");
  EXPECT_EQ(read("../../absolute"), "inside");
  EXPECT_THAT(image.resolve("loop"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(image.resolve("loop", LastLink::Keep), IsOk());
  EXPECT_THAT(image.resolve("nowhere"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(image.resolve("absolute/x"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(image.resolve(""), IsOk());
}

TEST_F(ReaderTest, FindsEveryFlippedBitOfMetadata) {
  make_tree();
  Image& image = open();
  const auto group = read_group(image.blocks(), image.layout(), 0);
  ASSERT_THAT(group, IsOk());
  const std::uint64_t inode = group->inode_table * kBlockSize + 10 * kInodeSize;  // inode 11
  for (std::uint64_t at : {kSuperblockOffset + 0x20, std::size_t{kBlockSize} + 8}) {
    bytes_[at] ^= std::byte{1};
    EXPECT_THAT(visit_all(bytes_), IsError(ErrorCode::Corrupt)) << at;
    bytes_[at] ^= std::byte{1};
  }
  for (std::uint64_t at = inode; at < inode + kInodeSize; at += 3) {
    bytes_[at] ^= std::byte{0x10};
    const auto result = visit_all(bytes_);
    ASSERT_THAT(result, IsError(ErrorCode::Corrupt)) << at;
    EXPECT_THAT(result.error().message(), HasSubstr("inode 11, block ")) << at;
    bytes_[at] ^= std::byte{0x10};
  }
  EXPECT_THAT(visit_all(bytes_), IsOk());
}

TEST_F(ReaderTest, SurvivesRandomDamage) {
  make_tree();
  open();
  // Only without checksums does damage reach what is behind them.
  auto super = load<Superblock>(bytes_, kSuperblockOffset);
  super.feature_ro_compat = super.feature_ro_compat & ~std::uint32_t{kRoCompatMetadataCsum};
  store(bytes_, kSuperblockOffset, super);
  const std::uint64_t data_end = image_->resolve("deep")->size;  // metadata follows the data
  std::mt19937 random(1);  // NOLINT: the same damage each time
  for (int round = 0; round < 1500; ++round) {
    std::vector<std::pair<std::size_t, std::byte>> saved;
    for (int i = 0; i < 3; ++i) {
      const std::size_t from = round % 3 == 0 ? 0 : static_cast<std::size_t>(data_end / 2);
      const std::size_t at = from + random() % (bytes_.size() - from);
      saved.emplace_back(at, bytes_[at]);
      bytes_[at] = static_cast<std::byte>(random() % 4 == 0 ? 0xff : random());
    }
    static_cast<void>(visit_all(bytes_));
    for (const auto& [at, byte] : saved | std::views::reverse) {
      bytes_[at] = byte;
    }
  }
  EXPECT_THAT(visit_all(bytes_), IsOk());
}

TEST_F(ReaderTest, RefusesADirectoryOfMoreBlocksThanTheImage) {
  file("d/f", "");
  Image& image = open();
  const auto group = read_group(image.blocks(), image.layout(), 0);
  ASSERT_THAT(group, IsOk());
  auto super = load<Superblock>(bytes_, kSuperblockOffset);
  super.feature_ro_compat = super.feature_ro_compat & ~std::uint32_t{kRoCompatMetadataCsum};
  store(bytes_, kSuperblockOffset, super);
  const std::uint64_t at = group->inode_table * kBlockSize + 10 * kInodeSize;  // inode 11
  auto record = load<InodeRecord>(bytes_, at);
  record.size_lo = 0xfffff000U;
  store(bytes_, at, record);
  EXPECT_THAT(visit_all(bytes_), IsError(ErrorCode::Corrupt));
}

TEST_F(ReaderTest, RefusesWhatIsNotExt4) {
  open();
  const std::vector<std::byte> zeros(kMebibyte);
  EXPECT_THAT(visit_all(zeros), IsError(ErrorCode::Invalid));
  EXPECT_THAT(visit_all({}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(visit_all(Bytes(bytes_).first(bytes_.size() - 1)), IsError(ErrorCode::Corrupt));
}

/// Writes transactions into the journal of an image by hand.
class JournalTest : public ReaderTest {
 protected:
  void SetUp() override {
    restart({.size_bytes = 64 * kMebibyte, .journal_bytes = 4 * kMebibyte});
    file("f", std::string(kBlockSize, 'o'));
    Image& image = open();
    const auto inode = image.inode(kJournalInode);
    ASSERT_THAT(inode, IsOk());
    BlockMap map(image.blocks(), image.layout(), *inode);
    journal_ = map.find(0, 1)->physical;
    const auto target = image.resolve("f");
    BlockMap file_map(image.blocks(), image.layout(), *target);
    file_block_ = file_map.find(0, 1)->physical;
    journal_super_ = load<JournalSuperblock>(bytes_, journal_ * kBlockSize);
    next_ = journal_super_.first;
    journal_super_.start = next_;
    journal_super_.sequence = sequence_;
    write_super();
    auto super = load<Superblock>(bytes_, kSuperblockOffset);
    super.feature_incompat = super.feature_incompat | kIncompatRecover;
    super.checksum = crc32c(0xffffffff, object_bytes(std::as_const(super)).first(1020));
    store(bytes_, kSuperblockOffset, super);
  }

  void set_features(std::uint32_t features) {
    journal_super_.feature_incompat = features;
    write_super();
  }

  void write_super() {
    journal_super_.checksum = 0U;
    journal_super_.checksum = crc32c(0xffffffff, object_bytes(std::as_const(journal_super_)));
    store(bytes_, journal_ * kBlockSize, journal_super_);
    seed_ = crc32c(0xffffffff, journal_super_.uuid);
  }

  bool has(std::uint32_t feature) const { return (journal_super_.feature_incompat & feature) != 0; }

  std::uint64_t put(std::vector<std::byte> block, bool with_tail) {
    if (with_tail && has(kJournalIncompatChecksumV2 | kJournalIncompatChecksumV3)) {
      const be32 sum = crc32c(seed_, block);
      std::memcpy(block.data() + kBlockSize - 4, &sum, 4);
    }
    const std::uint64_t where = (journal_ + next_++) * kBlockSize;
    std::ranges::copy(block, bytes_.begin() + static_cast<std::ptrdiff_t>(where));
    return where;
  }

  std::vector<std::byte> block_of(std::uint32_t type) const {
    std::vector<std::byte> block(kBlockSize);
    const JournalHeader header{.magic = kJournalMagic, .block_type = type, .sequence = sequence_};
    std::memcpy(block.data(), &header, sizeof header);
    return block;
  }

  /// One descriptor with one copy. Returns where the copy is.
  std::uint64_t copy(std::uint64_t block, std::string content, bool is_escaped = false) {
    content.resize(kBlockSize, 'x');
    std::vector<std::byte> descriptor = block_of(kJournalDescriptor);
    const std::uint32_t flags = kTagLast | kTagSameUuid | (is_escaped ? kTagEscaped : 0U);
    const be32 number = sequence_;
    const std::uint32_t sum = crc32c(crc32c(seed_, object_bytes(number)), as_bytes(content));
    if (has(kJournalIncompatChecksumV3)) {
      const JournalTagV3 tag{.block_lo = static_cast<std::uint32_t>(block),
                             .flags = flags,
                             .block_hi = 0U,
                             .checksum = sum};
      std::memcpy(descriptor.data() + 12, &tag, sizeof tag);
    } else {
      const JournalTag tag{.block_lo = static_cast<std::uint32_t>(block),
                           .checksum = static_cast<std::uint16_t>(sum),
                           .flags = static_cast<std::uint16_t>(flags),
                           .block_hi = 0U};
      std::memcpy(descriptor.data() + 12, &tag, sizeof tag);
    }
    put(std::move(descriptor), true);
    const Bytes bytes = as_bytes(content);
    return put({bytes.begin(), bytes.end()}, false);
  }

  void revoke(std::uint64_t block) {
    std::vector<std::byte> content = block_of(kJournalRevoke);
    const be64 wide = block;
    const be32 narrow = static_cast<std::uint32_t>(block);
    const std::size_t size = has(kJournalIncompat64Bit) ? 8 : 4;
    const be32 used = static_cast<std::uint32_t>(16 + size);
    std::memcpy(content.data() + 12, &used, 4);
    std::memcpy(content.data() + 16,
                size == 8 ? object_bytes(wide).data() : object_bytes(narrow).data(), size);
    put(std::move(content), true);
  }

  std::uint64_t commit() {
    std::vector<std::byte> content = block_of(kJournalCommit);
    if (has(kJournalIncompatChecksumV2 | kJournalIncompatChecksumV3)) {
      const be32 sum = crc32c(seed_, content);
      std::memcpy(content.data() + 16, &sum, 4);
    }
    ++sequence_;
    return put(std::move(content), false);
  }

  std::uint64_t journal_ = 0;
  std::uint64_t file_block_ = 0;
  std::uint32_t next_ = 0;
  std::uint32_t sequence_ = 0xffffffff;  // about to wrap around
  std::uint32_t seed_ = 0;
  JournalSuperblock journal_super_;
};

class JournalForms : public JournalTest, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(JournalForms, TakesTheNewestCopyOfWholeTransactions) {
  set_features(GetParam());
  copy(file_block_, "first");
  commit();
  copy(file_block_, "second");
  commit();
  copy(file_block_, "not committed");
  reopen();
  EXPECT_EQ(image_->replayed_transactions(), 2U);
  EXPECT_THAT(read("f"), ::testing::StartsWith("second"));
}

TEST_P(JournalForms, LeavesOutWhatWasRevokedSince) {
  set_features(GetParam() | kJournalIncompatRevoke);
  copy(file_block_, "first");
  commit();
  revoke(file_block_);
  commit();
  reopen();
  EXPECT_THAT(read("f"), ::testing::StartsWith("ooo"));
  copy(file_block_, "later");
  commit();
  reopen();
  EXPECT_THAT(read("f"), ::testing::StartsWith("later"));
}

TEST_P(JournalForms, RestoresEscapedBlocks) {
  set_features(GetParam());
  copy(file_block_, std::string(4, '\0') + "escaped", true);
  commit();
  reopen();
  EXPECT_THAT(read("f"), ::testing::StartsWith("\xc0\x3b\x39\x98"
                                               "escaped"));
}

INSTANTIATE_TEST_SUITE_P(AllForms, JournalForms,
                         ::testing::Values(0U, std::uint32_t{kJournalIncompat64Bit},
                                           std::uint32_t{kJournalIncompatChecksumV2},
                                           kJournalIncompatChecksumV2 | kJournalIncompat64Bit,
                                           std::uint32_t{kJournalIncompatChecksumV3},
                                           kJournalIncompatChecksumV3 | kJournalIncompat64Bit));

TEST_F(JournalTest, EndsAtADamagedCommitAndRefusesADamagedCopy) {
  set_features(kJournalIncompatChecksumV3);
  const std::uint64_t first = copy(file_block_, "first");
  commit();
  copy(file_block_, "second");
  const std::uint64_t second = commit();
  bytes_[second + 100] ^= std::byte{1};
  reopen();
  EXPECT_THAT(read("f"), ::testing::StartsWith("first"));
  bytes_[first + 100] ^= std::byte{1};
  EXPECT_THAT(visit_all(bytes_), IsError(ErrorCode::Corrupt));
}

TEST_F(JournalTest, RefusesCopiesForBlocksThatDoNotExist) {
  copy(64 * kMebibyte / kBlockSize, "outside");
  commit();
  EXPECT_THAT(visit_all(bytes_), IsError(ErrorCode::Corrupt));
}

TEST_F(JournalTest, RefusesAStartOutsideOfTheJournal) {
  for (const std::uint32_t start : {1024U, 0xffffffffU}) {
    journal_super_.start = start;
    write_super();
    EXPECT_THAT(visit_all(bytes_), IsError(ErrorCode::Corrupt)) << start;
  }
  // No transaction at all is a journal too.
  journal_super_.start = 1000U;
  write_super();
  EXPECT_THAT(visit_all(bytes_), IsOk());
}

}  // namespace
}  // namespace bulkhead::ext4
