// The ext4 reader on images that an enemy made: whatever they say, no crash, no hang, no more
// memory than the image.
//
// An input is a list of changes to one of a few valid images: 8 bytes each, a kind, a value and a
// place. The formatter makes two of the images when the fuzzer starts, the others are of
// make_ext4_images.py. Checksums of what was changed are made right again, so that damage reaches
// the code behind them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/checker.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/source.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kBlockSize = 4096;  // of the images that the formatter makes
constexpr std::size_t kUnit = 1024;       // of the others

using ImageBytes = std::vector<std::byte>;

/// What a change is made to.
enum class Part : std::uint8_t { Superblock, Descriptors, Inodes, Metadata, Journal, Anywhere };
constexpr std::uint8_t kParts = 6;

struct Seed {
  ImageBytes bytes;
  std::size_t inode_size = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t inode_table = 0;
  std::uint64_t metadata = 0;  ///< what follows the contents of files
  std::uint64_t journal = 0;
  std::vector<std::uint64_t> units;  ///< where the image is not zero
  bool has_checksums = false;
};

Result<std::uint64_t> first_byte(Image& image, std::uint32_t number) {
  const Inode inode = BH_TRY(image.inode(number));
  BlockMap map(image.blocks(), image.layout(), inode);
  const Run run = BH_TRY(map.find(0, 1));
  return run.physical * image.layout().block_size;
}

/// Where what is in an image that is whole.
Result<> locate_parts(Seed& seed) {
  MemorySource source(seed.bytes);
  Image image = BH_TRY(Image::open(source));
  const Layout& layout = image.layout();
  const Group group = BH_TRY(read_group(image.blocks(), layout, 0));
  seed.inode_size = layout.inode_size;
  seed.descriptors = layout.descriptor_block(0) * layout.block_size;
  seed.inode_table = group.inode_table * layout.block_size;
  seed.metadata = BH_TRY(first_byte(image, kRootInode));
  // Only these are made right again.
  seed.has_checksums = layout.has_checksums() && layout.inode_size == sizeof(InodeRecord) &&
                       layout.descriptor_size == sizeof(GroupDescriptor);
  if (layout.journal_inode != 0) {
    seed.journal = BH_TRY(first_byte(image, layout.journal_inode));
  }
  for (std::uint64_t at = 0; at + kUnit <= seed.bytes.size(); at += kUnit) {
    if (std::ranges::any_of(std::span(seed.bytes).subspan(at, kUnit),
                            [](std::byte byte) { return byte != std::byte{0}; })) {
      seed.units.push_back(at);
    }
  }
  return {};
}

Result<Seed> make_seed(const FormatOptions& options) {
  MemoryDevice device;
  Formatter formatter = BH_TRY(Formatter::create(device, options));
  const std::string large(300, 'v');
  const std::array<Xattr, 2> xattrs{Xattr{"user.small", as_bytes("1")},
                                    Xattr{"trusted.large", as_bytes(large)}};
  BH_TRY(formatter.begin_file("dir/file", {}, xattrs));
  BH_TRY(formatter.append(as_bytes("content")));
  BH_TRY(formatter.end_file());
  BH_TRY(formatter.begin_file("deep", {}));
  for (int i = 0; i < 8; ++i) {
    BH_TRY(formatter.append(as_bytes(std::string(kBlockSize, 'd'))));
    BH_TRY(formatter.append_hole(kBlockSize));
  }
  BH_TRY(formatter.end_file());
  BH_TRY(formatter.make_hard_link("hard", "dir/file"));
  BH_TRY(formatter.make_symlink("short", "dir/file", {}));
  BH_TRY(formatter.make_symlink("long", std::string(100, 'l'), {}));
  BH_TRY(formatter.make_node("null", NodeType::CharacterDevice, {1, 3}, {}));
  for (int i = 0; i < 40; ++i) {
    BH_TRY(formatter.make_symlink("many/" + std::string(200, 'n') + std::to_string(i), "x", {}));
  }
  const FormatResult result = BH_TRY(std::move(formatter).finish());
  Seed seed;
  seed.bytes = device.read(0, static_cast<std::size_t>(result.size_bytes));
  BH_TRY(locate_parts(seed));
  if (options.journal_bytes > 0) {
    // As if it had not been unmounted.
    Superblock super;
    std::memcpy(&super, seed.bytes.data() + kSuperblockOffset, sizeof super);
    super.feature_incompat = super.feature_incompat | kIncompatRecover;
    std::memcpy(seed.bytes.data() + kSuperblockOffset, &super, sizeof super);
    JournalSuperblock journal_super;
    std::memcpy(&journal_super, seed.bytes.data() + seed.journal, sizeof journal_super);
    journal_super.start = 1U;
    std::memcpy(seed.bytes.data() + seed.journal, &journal_super, sizeof journal_super);
  }
  return seed;
}

/// The file's form is in make_ext4_images.py.
Seed load_seed(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  std::span<const char> rest(content);
  const auto take_number = [&] {
    le32 number;
    BH_CHECK(rest.size() >= sizeof number);
    std::memcpy(&number, rest.data(), sizeof number);
    rest = rest.subspan(sizeof number);
    return std::size_t{number};
  };
  Seed seed;
  seed.bytes.resize(take_number() * kUnit);
  while (!rest.empty()) {
    const std::size_t at = take_number() * kUnit;
    BH_CHECK(rest.size() >= kUnit && at + kUnit <= seed.bytes.size());
    std::memcpy(seed.bytes.data() + at, rest.data(), kUnit);
    rest = rest.subspan(kUnit);
  }
  BH_CHECK(locate_parts(seed).has_value());
  return seed;
}

const std::vector<Seed>& seeds() {
  static const std::vector<Seed> kAll = [] {
    std::vector<Seed> made;
    for (const FormatOptions& options :
         {FormatOptions{}, FormatOptions{.size_bytes = std::uint64_t{6} << 20U,
                                         .journal_bytes = std::uint64_t{4} << 20U}}) {
      auto seed = make_seed(options);
      BH_CHECK(seed.has_value());
      made.push_back(std::move(*seed));
    }
    // In this order: inputs name them by their numbers.
    for (const char* const name :
         {"ext2", "ext3-journal", "inline-data", "ea-inode", "deep-extents", "checksums-index"}) {
      made.push_back(load_seed(std::filesystem::path(BULKHEAD_FUZZ_EXT4_IMAGES) / name));
    }
    return made;
  }();
  return kAll;
}

std::uint64_t begin_of(const Seed& seed, Part part) {
  switch (part) {
    case Part::Superblock:
      return kSuperblockOffset;
    case Part::Descriptors:
      return seed.descriptors;
    case Part::Inodes:
      return seed.inode_table;
    case Part::Metadata:
      return seed.metadata;
    case Part::Journal:
      return seed.journal;
    case Part::Anywhere:
      break;
  }
  return 0;
}

/// How far from the beginning of a part changes are made.
std::uint64_t length_of(Part part) {
  switch (part) {
    case Part::Superblock:
      return sizeof(Superblock);
    case Part::Descriptors:
      return sizeof(GroupDescriptor);
    case Part::Inodes:
      return 60 * kInodeSize;
    default:
      return 65536;
  }
}

void fix_superblock(ImageBytes& bytes) {
  Superblock super;
  std::memcpy(&super, bytes.data() + kSuperblockOffset, sizeof super);
  super.checksum =
      crc32c(0xffffffff, object_bytes(std::as_const(super)).first(offsetof(Superblock, checksum)));
  std::memcpy(bytes.data() + kSuperblockOffset, &super, sizeof super);
}

void fix_descriptor(ImageBytes& bytes, const Seed& image, std::uint32_t seed) {
  GroupDescriptor descriptor;
  std::memcpy(&descriptor, bytes.data() + image.descriptors, sizeof descriptor);
  descriptor.checksum = std::uint16_t{0};
  const le32 number = 0U;
  descriptor.checksum = static_cast<std::uint16_t>(
      crc32c(crc32c(seed, object_bytes(number)), object_bytes(std::as_const(descriptor))));
  std::memcpy(bytes.data() + image.descriptors, &descriptor, sizeof descriptor);
}

void fix_inode(ImageBytes& bytes, const Seed& image, std::uint64_t at, std::uint32_t seed) {
  const std::uint64_t index = (at - image.inode_table) / kInodeSize;
  const std::uint64_t offset = image.inode_table + index * kInodeSize;
  InodeRecord record;
  std::memcpy(&record, bytes.data() + offset, sizeof record);
  record.checksum_lo = record.checksum_hi = std::uint16_t{0};
  const le32 number = static_cast<std::uint32_t>(index + 1);
  const le32 generation = record.generation;
  const std::uint32_t sum =
      crc32c(crc32c(crc32c(seed, object_bytes(number)), object_bytes(generation)),
             object_bytes(std::as_const(record)));
  record.checksum_lo = static_cast<std::uint16_t>(sum);
  record.checksum_hi = static_cast<std::uint16_t>(sum >> 16U);
  std::memcpy(bytes.data() + offset, &record, sizeof record);
}

struct Change {
  std::uint8_t part;
  std::uint8_t width;
  le16 place;
  le32 value;
};

static_assert(sizeof(Change) == 8);

void apply(const Change& change, const Seed& seed, ImageBytes& bytes, std::uint32_t checksum_seed) {
  const auto part = static_cast<Part>(change.part % kParts);
  const std::uint64_t room = std::min(length_of(part), bytes.size() - begin_of(seed, part));
  const std::size_t width = std::size_t{1} << (change.width % 3U);
  std::uint64_t at = begin_of(seed, part) + change.place % (room - 3);
  // The upper half of the widths is for where there is something to damage, wherever that is.
  if (part == Part::Anywhere && change.width >= 128) {
    const std::uint64_t place = (change.width % 128U / 3U << 16U) + change.place;
    at = seed.units[place / kUnit % seed.units.size()] + place % (kUnit - 3);
  }
  std::memcpy(bytes.data() + at, &change.value, width);
  if (!seed.has_checksums) {
    return;
  }
  if (part == Part::Descriptors) {
    fix_descriptor(bytes, seed, checksum_seed);
  } else if (part == Part::Inodes) {
    fix_inode(bytes, seed, at, checksum_seed);
  }
}

Result<> read_all(Bytes bytes) {
  MemorySource source(bytes);
  Image image = BH_TRY(Image::open(source, {.cache_bytes = 1U << 20U}));
  static_cast<void>(image.resolve("many/../short/x"));
  BH_TRY(check_image(image));
  return {};
}

}  // namespace
}  // namespace bulkhead::ext4

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  using namespace bulkhead::ext4;
  if (size < 1) {
    return 0;
  }
  // Bits 0 and 2 to 4: which image; bit 1: without metadata checksums, which blocks of trees and
  // names have.
  const std::size_t which = (data[0] & 1U) + (data[0] >> 2U & 7U) * 2;
  const Seed& seed = seeds()[which % seeds().size()];
  ImageBytes bytes = seed.bytes;
  Superblock super;
  std::memcpy(&super, bytes.data() + kSuperblockOffset, sizeof super);
  const std::uint32_t checksum_seed = crc32c(0xffffffff, super.uuid);
  if ((data[0] & 2U) != 0) {
    super.feature_ro_compat = super.feature_ro_compat & ~std::uint32_t{kRoCompatMetadataCsum};
    std::memcpy(bytes.data() + kSuperblockOffset, &super, sizeof super);
  }
  constexpr std::size_t kMaxChanges = 64;
  std::size_t changes = 0;
  for (std::size_t at = 1; at + sizeof(Change) <= size && changes < kMaxChanges;
       at += sizeof(Change), ++changes) {
    Change change;
    std::memcpy(&change, data + at, sizeof change);
    apply(change, seed, bytes, checksum_seed);
  }
  fix_superblock(bytes);
  const Result<> result = read_all(bytes);
  BH_CHECK(changes > 0 || result.has_value());
  if (!result) {
    BH_CHECK(result.error().code() == ErrorCode::Corrupt ||
             result.error().code() == ErrorCode::Unsupported ||
             result.error().code() == ErrorCode::Invalid);
  }
  return 0;
}
