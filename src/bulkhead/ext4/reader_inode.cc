#include "bulkhead/ext4/reader_inode.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_layout.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kOldSize = 128;

// A file has at most 2^32 blocks.
constexpr unsigned kMaxFileBlocksLog = 32;

std::uint32_t inode_seed(const Layout& layout, std::uint32_t number, le32 generation) {
  const le32 inode = number;
  return crc32c(crc32c(layout.seed, object_bytes(inode)), object_bytes(generation));
}

/// Whether a record's extra fields reach to `end` bytes from its start.
bool has_field(const InodeRecord& record, std::size_t inode_size, std::size_t end) {
  return end <= inode_size && kOldSize + record.extra_isize >= end;
}

std::uint32_t checksum_of(std::uint32_t seed, Bytes stored, bool has_high) {
  constexpr std::size_t kLow = offsetof(InodeRecord, checksum_lo);
  constexpr std::size_t kHigh = offsetof(InodeRecord, checksum_hi);
  const le16 zero = std::uint16_t{0};
  std::uint32_t sum = crc32c(seed, stored.first(kLow));
  sum = crc32c(sum, object_bytes(zero));
  if (!has_high) {
    return crc32c(sum, stored.subspan(kLow + sizeof zero));
  }
  sum = crc32c(sum, stored.subspan(kLow + sizeof zero, kHigh - kLow - sizeof zero));
  sum = crc32c(sum, object_bytes(zero));
  return crc32c(sum, stored.subspan(kHigh + sizeof zero));
}

Timestamp time_of(le32 seconds, std::uint32_t extra) {
  const auto classic = static_cast<std::int32_t>(std::uint32_t{seconds});
  return {.seconds = classic + (std::int64_t{extra & 3U} << 32U),
          .nanoseconds = std::min<std::uint32_t>(extra >> 2U, 999'999'999)};
}

void read_times(const InodeRecord& record, std::size_t size, Inode& inode) {
  const auto extra = [&](le32 field, std::size_t offset) -> std::uint32_t {
    return has_field(record, size, offset + sizeof field) ? std::uint32_t{field} : 0U;
  };
  inode.accessed =
      time_of(record.atime, extra(record.atime_extra, offsetof(InodeRecord, atime_extra)));
  inode.changed =
      time_of(record.ctime, extra(record.ctime_extra, offsetof(InodeRecord, ctime_extra)));
  inode.modified =
      time_of(record.mtime, extra(record.mtime_extra, offsetof(InodeRecord, mtime_extra)));
  if (has_field(record, size, offsetof(InodeRecord, crtime) + sizeof(le32))) {
    inode.created =
        time_of(record.crtime, extra(record.crtime_extra, offsetof(InodeRecord, crtime_extra)));
  }
}

/// Two forms: 8 and 8 bits in the first word, or 12 and 20 in the second.
DeviceNumber device_of(const std::array<std::byte, 60>& content) {
  le32 old_form;
  le32 new_form;
  std::memcpy(&old_form, content.data(), sizeof old_form);
  std::memcpy(&new_form, content.data() + sizeof old_form, sizeof new_form);
  if (old_form != 0) {
    return {.major = old_form >> 8U & 0xffU, .minor = old_form & 0xffU};
  }
  return {.major = new_form >> 8U & 0xfffU,
          .minor = (new_form & 0xffU) | (new_form >> 12U & 0xfff00U)};
}

Inode decode(const InodeRecord& record, const Layout& layout, std::uint32_t number) {
  Inode inode;
  inode.number = number;
  inode.mode = record.mode;
  inode.uid = record.uid_lo | std::uint32_t{record.uid_high} << 16U;
  inode.gid = record.gid_lo | std::uint32_t{record.gid_high} << 16U;
  inode.links = record.links_count;
  inode.flags = record.flags;
  inode.size = record.size_lo;
  // The field was the ACL of directories once.
  if (inode.is_file() ||
      (inode.is_directory() && (layout.incompat & kIncompatLargeDirectory) != 0)) {
    inode.size |= std::uint64_t{record.size_high} << 32U;
  }
  inode.sectors = record.blocks_lo;
  if ((layout.ro_compat & kRoCompatHugeFile) != 0) {
    inode.sectors |= std::uint64_t{record.blocks_high} << 32U;
  }
  inode.xattr_block = record.file_acl_lo;
  if ((layout.incompat & kIncompat64Bit) != 0) {
    inode.xattr_block |= std::uint64_t{record.file_acl_high} << 32U;
  }
  inode.content = record.block;
  if (inode.type() == kModeCharacter || inode.type() == kModeBlock) {
    inode.device = device_of(inode.content);
  }
  read_times(record, layout.inode_size, inode);
  return inode;
}

bool is_known_type(std::uint16_t type) {
  constexpr std::array<std::uint16_t, 7> kTypes{
      kModeFifo, kModeCharacter, kModeDirectory, kModeBlock, kModeFile, kModeSymlink, kModeSocket};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

}  // namespace

std::uint16_t Inode::type() const { return mode & kModeTypeMask; }

bool Inode::is_directory() const { return type() == kModeDirectory; }

bool Inode::is_file() const { return type() == kModeFile; }

bool Inode::is_symlink() const { return type() == kModeSymlink; }

Error corrupt_at(std::uint32_t inode, std::uint64_t block, std::string_view what) {
  if (block == 0) {
    return fail(ErrorCode::Corrupt, "inode {}: {}", inode, what);
  }
  return fail(ErrorCode::Corrupt, "inode {}, block {}: {}", inode, block, what);
}

Result<Inode> read_inode(BlockReader& blocks, const Layout& layout, std::uint32_t number) {
  if (number == 0 || number > layout.inodes) {
    return fail(ErrorCode::Corrupt, "inode {}: the file system has {}", number, layout.inodes);
  }
  const std::uint32_t group = (number - 1) / layout.inodes_per_group;
  const std::uint64_t offset =
      std::uint64_t{(number - 1) % layout.inodes_per_group} * layout.inode_size;
  const Group where = BH_TRY(read_group(blocks, layout, group));
  const std::uint64_t block_number = where.inode_table + offset / layout.block_size;
  const Block block = BH_TRY(blocks.block(block_number));
  const Bytes stored = Bytes(*block).subspan(static_cast<std::size_t>(offset % layout.block_size),
                                             layout.inode_size);
  const auto corrupt = [&](const char* what) {
    return fail(ErrorCode::Corrupt, "inode {}, block {}: {}", number, block_number, what);
  };

  InodeRecord record{};
  std::memcpy(&record, stored.data(), std::min(sizeof record, stored.size()));
  if (layout.inode_size == kOldSize) {
    record.extra_isize = std::uint16_t{0};
  }
  if (record.mode == 0 || record.links_count == 0) {
    return corrupt("not in use");
  }
  const std::uint32_t seed = inode_seed(layout, number, record.generation);
  if (layout.has_checksums()) {
    const bool has_high =
        has_field(record, layout.inode_size, offsetof(InodeRecord, checksum_hi) + sizeof(le16));
    const std::uint32_t sum = checksum_of(seed, stored, has_high);
    const std::uint32_t wanted =
        record.checksum_lo | (has_high ? std::uint32_t{record.checksum_hi} << 16U : 0U);
    if ((has_high ? sum : sum & 0xffffU) != wanted) {
      return corrupt("wrong checksum");
    }
  }
  if (kOldSize + record.extra_isize > layout.inode_size || record.extra_isize % 4 != 0) {
    return corrupt("size of its extra fields");
  }
  Inode inode = decode(record, layout, number);
  inode.seed = seed;
  if (!is_known_type(inode.type())) {
    return corrupt("unknown type");
  }
  if (inode.size > std::uint64_t{layout.block_size} << kMaxFileBlocksLog) {
    return corrupt("size is more than a file can have");
  }
  if ((inode.flags & kInodeFlagInlineData) != 0 && (layout.incompat & kIncompatInlineData) == 0) {
    return corrupt("inline data without the feature");
  }
  const Bytes extra = stored.subspan(kOldSize + record.extra_isize);
  if (layout.inode_size > kOldSize) {
    inode.xattrs.assign(extra.begin(), extra.end());
  }
  return inode;
}

}  // namespace bulkhead::ext4
