#include "bulkhead/ext4/reader_layout.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint32_t kOldInodeSize = 128;
constexpr std::uint32_t kOldDescriptorSize = 32;
constexpr std::uint32_t kReadIncompat =
    kIncompatFiletype | kIncompatRecover | kIncompatMetaGroups | kIncompatExtents | kIncompat64Bit |
    kIncompatMultiMount | kIncompatFlexBg | kIncompatXattrInode | kIncompatChecksumSeed |
    kIncompatLargeDirectory | kIncompatInlineData | kIncompatEncrypt | kIncompatCasefold;

Error corrupt(std::string_view what) { return fail(ErrorCode::Corrupt, "superblock: {}", what); }

bool is_power_of(std::uint32_t value, std::uint32_t base) {
  while (value % base == 0) {
    value /= base;
  }
  return value == 1;
}

/// CRC-16 of the descriptors of ext4's first years.
std::uint16_t crc16(std::uint16_t sum, Bytes data) {
  for (const std::byte byte : data) {
    sum = static_cast<std::uint16_t>(sum ^ static_cast<std::uint8_t>(byte));
    for (int bit = 0; bit < 8; ++bit) {
      sum = static_cast<std::uint16_t>((sum >> 1U) ^ ((sum & 1U) != 0 ? 0xa001U : 0U));
    }
  }
  return sum;
}

Result<> check_kind(const Superblock& super) {
  if (super.magic != kSuperblockMagic) {
    return fail(ErrorCode::Invalid, "no ext4 file system");
  }
  if (super.rev_level > 1) {
    return fail(ErrorCode::Unsupported, "superblock: revision {}", std::uint32_t{super.rev_level});
  }
  if (const std::uint32_t unknown = super.feature_incompat & ~kReadIncompat; unknown != 0) {
    return fail(ErrorCode::Unsupported, "superblock: incompatible features {:#x}", unknown);
  }
  if ((super.feature_ro_compat & kRoCompatMetadataCsum) != 0 &&
      super.checksum !=
          crc32c(kChecksumStart, object_bytes(super).first(offsetof(Superblock, checksum)))) {
    return corrupt("wrong checksum");
  }
  return {};
}

Result<std::uint32_t> check_sizes(const Layout& layout, std::uint64_t image_bytes) {
  const std::uint64_t bits = std::uint64_t{8} * layout.block_size;
  const bool has_clusters = (layout.ro_compat & kRoCompatClusters) != 0;
  if (layout.blocks > image_bytes / layout.block_size) {
    return fail(ErrorCode::Corrupt, "superblock: {} blocks of {} bytes in an image of {} bytes",
                layout.blocks, layout.block_size, image_bytes);
  }
  if (layout.first_block >= layout.blocks || layout.first_block > 1) {
    return corrupt("first block");
  }
  // With clusters a bitmap's bit is more than a block.
  if (layout.blocks_per_group < 8 || (!has_clusters && layout.blocks_per_group > bits)) {
    return corrupt("blocks per group");
  }
  if (layout.inodes_per_group == 0 || layout.inodes_per_group > bits) {
    return corrupt("inodes per group");
  }
  if (layout.inode_size < kOldInodeSize || layout.inode_size > layout.block_size ||
      !std::has_single_bit(layout.inode_size)) {
    return corrupt("inode size");
  }
  if (layout.descriptor_size < kOldDescriptorSize || layout.descriptor_size > 1024 ||
      !std::has_single_bit(layout.descriptor_size)) {
    return corrupt("descriptor size");
  }
  const std::uint64_t groups =
      (layout.blocks - layout.first_block + layout.blocks_per_group - 1) / layout.blocks_per_group;
  if (groups > UINT32_MAX || layout.inodes < layout.first_inode ||
      layout.inodes > groups * layout.inodes_per_group ||
      layout.inodes > image_bytes / layout.inode_size) {
    return corrupt("number of inodes");
  }
  return static_cast<std::uint32_t>(groups);
}

}  // namespace

bool Layout::has_checksums() const { return (ro_compat & kRoCompatMetadataCsum) != 0; }

bool Layout::has_superblock(std::uint32_t group) const {
  if (group == 0) {
    return true;
  }
  if ((compat & kCompatSparseSuper2) != 0) {
    return std::ranges::find(backup_groups, group) != backup_groups.end();
  }
  return group == 1 || (ro_compat & kRoCompatSparseSuper) == 0 || is_power_of(group, 3) ||
         is_power_of(group, 5) || is_power_of(group, 7);
}

std::uint64_t Layout::descriptor_block(std::uint32_t group) const {
  const std::uint32_t in_block = block_size / descriptor_size;
  const std::uint32_t index = group / in_block;
  // The superblock is at 1024: in block 1 of blocks of 1 KiB, wherever group 0 begins.
  const std::uint64_t super = kSuperblockOffset / block_size;
  if ((incompat & kIncompatMetaGroups) == 0 || index < first_meta_group) {
    return super + 1 + index;
  }
  const std::uint32_t first = index * in_block;
  if (first == 0) {
    return super + 1;
  }
  return first_block + std::uint64_t{first} * blocks_per_group + (has_superblock(first) ? 1 : 0);
}

Result<Layout> parse_superblock(Bytes bytes, std::uint64_t image_bytes) {
  Superblock super;
  std::memcpy(&super, bytes.data(), sizeof super);
  BH_TRY(check_kind(super));
  if (super.log_block_size > 6) {
    return corrupt("block size");
  }
  Layout layout;
  layout.block_size = 1024U << super.log_block_size;
  layout.compat = super.feature_compat;
  layout.incompat = super.feature_incompat;
  layout.ro_compat = super.feature_ro_compat;
  const bool is_64bit = (layout.incompat & kIncompat64Bit) != 0;
  layout.blocks = super.blocks_count_lo;
  if (is_64bit) {
    layout.blocks |= std::uint64_t{super.blocks_count_hi} << 32U;
  }
  layout.first_block = super.first_data_block;
  layout.blocks_per_group = super.blocks_per_group;
  layout.inodes = super.inodes_count;
  layout.inodes_per_group = super.inodes_per_group;
  const bool is_dynamic = super.rev_level == 1;
  layout.first_inode = is_dynamic ? std::uint32_t{super.first_ino} : kFirstFreeInode;
  layout.inode_size = is_dynamic ? std::uint32_t{super.inode_size} : kOldInodeSize;
  layout.descriptor_size = is_64bit ? std::uint32_t{super.desc_size} : kOldDescriptorSize;
  layout.first_meta_group = super.first_meta_bg;
  std::ranges::copy(super.backup_groups, layout.backup_groups.begin());
  layout.journal_inode = super.journal_inum;
  layout.uuid = super.uuid;
  layout.label = {super.volume_name.begin(), std::ranges::find(super.volume_name, '\0')};
  layout.seed = (layout.incompat & kIncompatChecksumSeed) != 0 ? std::uint32_t{super.checksum_seed}
                                                               : crc32c(kChecksumStart, super.uuid);
  if (is_64bit && layout.descriptor_size < sizeof(GroupDescriptor)) {
    return corrupt("descriptor size");
  }
  if (layout.first_inode < kFirstFreeInode) {
    return corrupt("first inode");
  }
  layout.groups = BH_TRY(check_sizes(layout, image_bytes));
  return layout;
}

Result<Group> read_group(BlockReader& blocks, const Layout& layout, std::uint32_t group) {
  const std::uint64_t number = layout.descriptor_block(group);
  const Block block = BH_TRY(blocks.block(number));
  const std::size_t offset =
      std::size_t{group % (layout.block_size / layout.descriptor_size)} * layout.descriptor_size;
  const Bytes stored = Bytes(*block).subspan(offset, layout.descriptor_size);
  GroupDescriptor descriptor{};
  std::memcpy(&descriptor, stored.data(), std::min(sizeof descriptor, stored.size()));

  constexpr std::size_t kSumOffset = offsetof(GroupDescriptor, checksum);
  constexpr std::size_t kSumEnd = kSumOffset + sizeof(GroupDescriptor::checksum);
  const le32 group_number = group;
  std::uint16_t sum = descriptor.checksum;
  if (layout.has_checksums()) {
    const le16 zero = std::uint16_t{0};
    std::uint32_t wanted = crc32c(layout.seed, object_bytes(group_number));
    wanted = crc32c(wanted, stored.first(kSumOffset));
    wanted = crc32c(wanted, object_bytes(zero));
    wanted = crc32c(wanted, stored.subspan(kSumEnd));
    sum = static_cast<std::uint16_t>(wanted);
  } else if ((layout.ro_compat & kRoCompatGroupChecksum) != 0) {
    sum = crc16(0xffff, layout.uuid);
    sum = crc16(sum, object_bytes(group_number));
    sum = crc16(sum, stored.first(kSumOffset));
    sum = crc16(sum, stored.subspan(kSumEnd));
  }
  if (sum != descriptor.checksum) {
    return fail(ErrorCode::Corrupt, "group {}, block {}: wrong checksum of the descriptor", group,
                number);
  }

  // Without 64bit the upper halves stay zero.
  const auto wide = [](std::uint32_t lo, std::uint32_t hi) {
    return std::uint64_t{hi} << 32U | lo;
  };
  Group out;
  out.block_bitmap = wide(descriptor.block_bitmap_lo, descriptor.block_bitmap_hi);
  out.inode_bitmap = wide(descriptor.inode_bitmap_lo, descriptor.inode_bitmap_hi);
  out.inode_table = wide(descriptor.inode_table_lo, descriptor.inode_table_hi);
  out.block_bitmap_checksum = std::uint32_t{descriptor.block_bitmap_csum_lo} |
                              std::uint32_t{descriptor.block_bitmap_csum_hi} << 16U;
  out.inode_bitmap_checksum = std::uint32_t{descriptor.inode_bitmap_csum_lo} |
                              std::uint32_t{descriptor.inode_bitmap_csum_hi} << 16U;
  out.flags = descriptor.flags;
  const std::uint64_t table_blocks =
      (std::uint64_t{layout.inodes_per_group} * layout.inode_size + layout.block_size - 1) /
      layout.block_size;
  if (out.inode_table >= layout.blocks || table_blocks > layout.blocks - out.inode_table ||
      out.block_bitmap >= layout.blocks || out.inode_bitmap >= layout.blocks) {
    return fail(ErrorCode::Corrupt,
                "group {}, block {}: bitmaps or inode table outside of the image", group, number);
  }
  return out;
}

}  // namespace bulkhead::ext4
