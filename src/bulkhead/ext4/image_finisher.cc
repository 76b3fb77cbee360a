#include "bulkhead/ext4/image_finisher.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/directory_blocks.h"
#include "bulkhead/ext4/directory_index.h"
#include "bulkhead/ext4/extents.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/geometry.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/ext4/xattr.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kFastSymlinkBytes = 60;
constexpr std::uint32_t kSectorBytes = 512;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32U); }

std::uint16_t low16(std::uint32_t value) { return static_cast<std::uint16_t>(value); }

std::uint16_t high16(std::uint32_t value) { return static_cast<std::uint16_t>(value >> 16U); }

/// Sets bits [from, to) of a bitmap.
void set_bits(std::span<std::byte> bitmap, std::size_t from, std::size_t to, bool value) {
  for (; from < to && from % 8 != 0; ++from) {
    const std::byte bit{static_cast<std::uint8_t>(1U << (from % 8))};
    bitmap[from / 8] = value ? bitmap[from / 8] | bit : bitmap[from / 8] & ~bit;
  }
  const std::size_t whole_end = std::max(from, to / 8 * 8);
  std::fill(bitmap.begin() + static_cast<std::ptrdiff_t>(from / 8),
            bitmap.begin() + static_cast<std::ptrdiff_t>(whole_end / 8),
            value ? std::byte{0xff} : std::byte{0});
  for (from = whole_end; from < to; ++from) {
    const std::byte bit{static_cast<std::uint8_t>(1U << (from % 8))};
    bitmap[from / 8] = value ? bitmap[from / 8] | bit : bitmap[from / 8] & ~bit;
  }
}

// Default mount options. Source: fs/ext4/ext4.h of Linux, EXT4_DEFM_*.
constexpr std::uint32_t kDefaultXattrs = 0x4;
constexpr std::uint32_t kDefaultAcls = 0x8;

std::uint32_t journal_mode_bits(const FormatOptions& options) {
  if (!options.journal_mode) {
    return 0;
  }
  switch (*options.journal_mode) {
    case JournalMode::Data:
      return 0x20;
    case JournalMode::Ordered:
      return 0x40;
    case JournalMode::Writeback:
      return 0x60;
  }
  return 0;
}

/// Two bits of epoch beyond the 32 of the classic field, and nanoseconds.
void put_time(std::int64_t seconds, std::uint32_t nanoseconds, le32& field, le32& extra) {
  const auto classic = static_cast<std::uint32_t>(static_cast<std::uint64_t>(seconds));
  const auto epoch = (seconds - static_cast<std::int32_t>(classic)) >> 32U;
  field = classic;
  extra = (nanoseconds << 2U) | static_cast<std::uint32_t>(epoch & 3);
}

/// The extents of a file whose tree is not in a map.
std::vector<Extent> extents_of(const Node& node) {
  if (node.map) {
    return node.map->extents;
  }
  if (node.run == 0) {
    return {};
  }
  return {{.logical = 0, .count = node.run, .start = node.start}};
}

bool has_blocks(const Node& node) {
  return node.type() == kModeFile || node.type() == kModeDirectory ||
         (node.type() == kModeSymlink && node.size >= kFastSymlinkBytes);
}

/// Whether a node's extents need a tree outside of the inode.
bool needs_tree(const Node& node) {
  if (!node.map) {
    return node.run > kExtentsInInode * kMaxExtentBlocks;
  }
  std::uint64_t leaves = 0;
  for (const Extent& extent : node.map->extents) {
    leaves += (extent.count + kMaxExtentBlocks - 1) / kMaxExtentBlocks;
  }
  return leaves > kExtentsInInode;
}

}  // namespace

Result<FormatResult> ImageFinisher::run() {
  number_inodes();
  choose_uuid();
  seed_ = crc32c(kChecksumStart, uuid_);
  std::ranges::reverse_copy(uuid_, hash_seed_.begin());
  BH_TRY(write_directories());
  BH_TRY(write_extent_trees());
  BH_TRY(write_xattr_blocks());
  BH_TRY(write_journal());
  BH_TRY(settle_geometry());
  BH_TRY(write_inodes());
  BH_TRY(write_groups());
  BH_TRY(parts_.writer.flush());
  if (parts_.allocator.freed() == Freed::Reuse) {
    for (const auto& [start, count] : parts_.allocator.holes()) {
      BH_TRY(parts_.device.discard(start * block_size(), count * block_size()));
    }
  }
  BH_TRY(parts_.device.resize(geometry_.blocks * block_size()));
  const Superblock super = superblock();
  for (std::uint32_t group = geometry_.groups; geometry_.copies && --group > 0;) {
    if (geometry_.has_superblock(group)) {
      BH_TRY(write_superblock(super, group));
    }
  }
  BH_TRY(parts_.writer.flush());
  BH_TRY(write_superblock(super, 0));
  BH_TRY(parts_.writer.flush());
  return FormatResult{.size_bytes = geometry_.blocks * block_size(),
                      .used_bytes = (geometry_.blocks - free_blocks_) * block_size(),
                      .inodes = last_inode_,
                      .uuid = uuid_};
}

void ImageFinisher::number_inodes() {
  std::uint32_t next = kFirstFreeInode;
  for (NodeId id = 0; id < parts_.tree.size(); ++id) {
    Node& node = parts_.tree.node(id);
    if (id == kRootNode) {
      node.number = kRootInode;
    } else if (node.links > 0) {
      node.number = next++;
    }
  }
  last_inode_ = next - 1;
}

void ImageFinisher::choose_uuid() {
  if (parts_.options.uuid) {
    uuid_ = *parts_.options.uuid;
    return;
  }
  // Four sums of names and attributes, from different seeds.
  std::array<std::uint32_t, 4> sums{1, 2, 3, 4};
  for (NodeId id = 0; id < parts_.tree.size(); ++id) {
    const Node& node = parts_.tree.node(id);
    if (node.links == 0) {
      continue;
    }
    const std::array<std::uint64_t, 6> fields{
        node.size,  node.start,
        node.mode,  static_cast<std::uint64_t>(node.modified),
        node.links, std::uint64_t{node.uid} << 32U | node.gid};
    for (std::uint32_t& sum : sums) {
      sum = crc32c(sum, std::as_bytes(std::span(fields))) * 0x9e3779b1U;
      if (!node.directory) {
        continue;
      }
      for (const DirectoryEntry& entry : node.directory->entries) {
        sum = crc32c(sum, as_bytes(entry.text())) + entry.node;
      }
    }
  }
  std::memcpy(uuid_.data(), sums.data(), uuid_.size());
  uuid_[6] = (uuid_[6] & std::byte{0x0f}) | std::byte{0x80};  // version 8: made by own rules
  uuid_[8] = (uuid_[8] & std::byte{0x3f}) | std::byte{0x80};
}

std::uint32_t ImageFinisher::inode_seed(std::uint32_t number) const {
  const le32 inode = number;
  const le32 generation = 0U;
  return crc32c(crc32c(seed_, object_bytes(inode)), object_bytes(generation));
}

/// The entries of a directory: in order of making while they fit one block, otherwise with an
/// index.
Result<> ImageFinisher::write_entries(Node& node, DirectoryBlocks& blocks) {
  const Directory& directory = *node.directory;
  const std::uint32_t parent = parts_.tree.node(directory.parent).number;
  std::vector<NamedInode> entries;
  entries.reserve(directory.live);
  std::size_t size = DirectoryBlocks::entry_size(".") + DirectoryBlocks::entry_size("..");
  for (const DirectoryEntry& entry : directory.entries) {
    if (entry.name_length > 0) {
      const Node& child = parts_.tree.node(entry.node);
      entries.push_back(
          {.name = entry.text(), .inode = child.number, .type = entry_type(child.mode)});
      size += DirectoryBlocks::entry_size(entry.text());
    }
  }
  if (size > DirectoryBlocks::room(block_size())) {
    node.is_indexed = BH_TRY(write_indexed(node.number, parent, entries, hash_seed_, blocks));
    if (node.is_indexed) {
      return {};
    }
  }
  BH_TRY(blocks.add(".", node.number, kTypeDirectory));
  BH_TRY(blocks.add("..", parent, kTypeDirectory));
  for (const NamedInode& entry : entries) {
    BH_TRY(blocks.add(entry.name, entry.inode, entry.type));
  }
  return blocks.finish();
}

Result<> ImageFinisher::write_directory(Node& node) {
  DirectoryBlocks blocks(inode_seed(node.number), parts_.allocator, parts_.writer);
  BH_TRY(write_entries(node, blocks));
  node.size = std::uint64_t{blocks.blocks()} * block_size();
  if (blocks.extents().size() == 1) {
    node.start = blocks.extents().front().start;
    node.run = blocks.extents().front().count;
  } else {
    node.map = std::make_unique<ExtentMap>();
    node.map->extents = std::move(blocks.extents());
  }
  return {};
}

Result<> ImageFinisher::write_directories() {
  for (NodeId id = 0; id < parts_.tree.size(); ++id) {
    if (Node& node = parts_.tree.node(id); node.is_directory() && node.links > 0) {
      BH_TRY(write_directory(node));
    }
  }
  return {};
}

Result<> ImageFinisher::write_extent_trees() {
  for (NodeId id = 0; id < parts_.tree.size(); ++id) {
    Node& node = parts_.tree.node(id);
    if (node.links == 0 || !has_blocks(node) || !needs_tree(node)) {
      continue;
    }
    const ExtentTree tree = BH_TRY(write_extent_tree(extents_of(node), inode_seed(node.number),
                                                     parts_.allocator, parts_.writer));
    if (!node.map) {
      node.map = std::make_unique<ExtentMap>();
      node.map->extents = {{.logical = 0, .count = node.run, .start = node.start}};
    }
    node.map->root = tree.root;
    node.map->tree_blocks = tree.blocks;
  }
  return {};
}

Result<> ImageFinisher::write_xattr_blocks() {
  for (XattrSet& set : parts_.xattrs.sets()) {
    if (set.entries.empty()) {
      continue;
    }
    for (std::uint32_t left = set.references; left > 0;) {
      const std::uint32_t here = std::min(left, kMaxXattrReferences);
      const std::uint64_t block = BH_TRY(parts_.allocator.allocate(1)).start;
      BH_TRY(parts_.writer.write(
          block, make_xattr_block(set, {.block = block, .references = here}, block_size(), seed_)));
      set.blocks.push_back(block);
      left -= here;
    }
  }
  return {};
}

Result<> ImageFinisher::settle_geometry() {
  if (parts_.fixed) {
    geometry_ = *parts_.fixed;
    if (last_inode_ > geometry_.inodes()) {
      return fail(ErrorCode::NoSpace, "the image is full: {} inodes", geometry_.inodes());
    }
  } else {
    geometry_ = fitted_geometry(parts_.allocator.end(), last_inode_, block_size());
    BH_TRY(parts_.allocator.allocate_at_end(geometry_.run_blocks()));
    const std::uint64_t descriptors = geometry_.descriptor_blocks();
    if (descriptors > parts_.descriptor_room) {
      return fail(ErrorCode::NoSpace, "the image is full: {} groups", geometry_.groups);
    }
    parts_.allocator.free({geometry_.descriptor_block(descriptors),
                           static_cast<std::uint32_t>(parts_.descriptor_room - descriptors)});
  }
  directories_.assign((last_inode_ - 1) / geometry_.inodes_per_group + 1, 0);
  return {};
}

Result<> ImageFinisher::write_journal() {
  if (parts_.journal.empty()) {
    return {};
  }
  journal_tree_ = BH_TRY(write_extent_tree(parts_.journal, inode_seed(kJournalInode),
                                           parts_.allocator, parts_.writer));
  const Extent& last = parts_.journal.back();
  JournalSuperblock super{};
  super.magic = kJournalMagic;
  super.block_type = std::uint32_t{kJournalSuperblockV2};
  super.block_size = block_size();
  super.max_length = last.logical + last.count;
  super.first = 1U;
  super.sequence = 1U;
  super.uuid = uuid_;
  super.users = 1U;
  return parts_.writer.write(parts_.journal.front().start, object_bytes(std::as_const(super)));
}

void ImageFinisher::seal(InodeRecord& record, std::uint32_t number) const {
  record.extra_isize = kExtraInodeSize;
  record.checksum_lo = std::uint16_t{0};
  record.checksum_hi = std::uint16_t{0};
  const std::uint32_t sum = crc32c(inode_seed(number), object_bytes(std::as_const(record)));
  record.checksum_lo = low16(sum);
  record.checksum_hi = high16(sum);
}

InodeRecord ImageFinisher::record_of(Node& node) {
  InodeRecord record{};
  record.mode = node.mode;
  record.uid_lo = low16(node.uid);
  record.uid_high = high16(node.uid);
  record.gid_lo = low16(node.gid);
  record.gid_high = high16(node.gid);
  put_time(node.accessed, node.accessed_nanoseconds, record.atime, record.atime_extra);
  put_time(node.modified, node.modified_nanoseconds, record.mtime, record.mtime_extra);
  record.ctime = record.crtime = record.mtime;
  record.ctime_extra = record.crtime_extra = record.mtime_extra;
  record.links_count = static_cast<std::uint16_t>(node.links);
  if (node.directory) {
    const std::uint32_t links = 2 + node.directory->subdirectories;
    record.links_count = static_cast<std::uint16_t>(links > kMaxLinks ? 1 : links);
  }
  std::uint64_t blocks = 0;
  if (has_blocks(node)) {
    record.flags = kInodeFlagExtents | (node.is_indexed ? std::uint32_t{kInodeFlagIndex} : 0U);
    record.size_lo = low(node.size);
    record.size_high = high(node.size);
    const std::vector<Extent> extents = extents_of(node);
    for (const Extent& extent : extents) {
      blocks += extent.count;
    }
    if (node.map && node.map->tree_blocks > 0) {
      record.block = node.map->root;
      blocks += node.map->tree_blocks;
    } else {
      // Fits the inode: takes no blocks, so it cannot fail.
      record.block = write_extent_tree(extents, 0, parts_.allocator, parts_.writer)->root;
    }
  } else if (node.is_symlink()) {
    record.size_lo = low(node.size);
    std::memcpy(record.block.data(), node.target, node.size);
  } else {
    // Up to 8 bits each for major and minor fit the first word; otherwise the second has them.
    const auto number = static_cast<std::uint32_t>(node.start);
    const bool is_small = (number & ~0xffffU) == 0;
    const le32 word = number;
    std::memcpy(record.block.data() + (is_small ? 0 : 4), &word, sizeof word);
  }
  if (node.xattrs != 0) {
    XattrSet& set = parts_.xattrs.sets()[node.xattrs];
    if (!set.in_inode.empty()) {
      std::memcpy(record.xattrs.data(), set.in_inode.data(), set.in_inode.size());
    }
    if (!set.blocks.empty()) {
      const std::uint64_t block = set.blocks[set.next_use++ / kMaxXattrReferences];
      record.file_acl_lo = low(block);
      record.file_acl_high = low16(high(block));
      ++blocks;
    }
  }
  const std::uint64_t sectors = blocks * (block_size() / kSectorBytes);
  record.blocks_lo = low(sectors);
  record.blocks_high = low16(high(sectors));
  seal(record, node.number);
  return record;
}

InodeRecord ImageFinisher::journal_record() const {
  const Extent& last = parts_.journal.back();
  const std::uint32_t blocks = last.logical + last.count;
  InodeRecord record{};
  record.mode = std::uint16_t{kModeFile | 0600U};
  record.links_count = std::uint16_t{1};
  record.flags = kInodeFlagExtents;
  const std::uint64_t size = std::uint64_t{blocks} * block_size();
  record.size_lo = low(size);
  record.size_high = high(size);
  record.blocks_lo = (blocks + journal_tree_.blocks) * (block_size() / kSectorBytes);
  record.block = journal_tree_.root;
  seal(record, kJournalInode);
  return record;
}

Result<> ImageFinisher::write_inodes() {
  std::vector<InodeRecord> batch;  // a block of a table, at most
  std::uint32_t number = 0;        // inodes put into a batch
  const auto write_batch = [&]() -> Result<> {
    const std::uint32_t first = number - static_cast<std::uint32_t>(batch.size());
    const std::uint64_t block = geometry_.inode_table(first / geometry_.inodes_per_group) +
                                first % geometry_.inodes_per_group / geometry_.inodes_per_block();
    BH_TRY(parts_.writer.write(block, std::as_bytes(std::span(batch))));
    batch.clear();
    return {};
  };
  const auto put = [&](const InodeRecord& record) -> Result<> {
    batch.push_back(record);
    ++number;
    return batch.size() == geometry_.inodes_per_block() ? write_batch() : Result<>();
  };
  for (std::uint32_t reserved = 1; reserved < kFirstFreeInode; ++reserved) {
    if (reserved == kRootInode) {
      BH_TRY(put(record_of(parts_.tree.node(kRootNode))));
      ++directories_[0];
    } else if (reserved == kJournalInode && !parts_.journal.empty()) {
      BH_TRY(put(journal_record()));
    } else {
      InodeRecord unused{};
      seal(unused, reserved);
      BH_TRY(put(unused));
    }
  }
  for (NodeId id = 1; id < parts_.tree.size(); ++id) {
    Node& node = parts_.tree.node(id);
    if (node.links > 0) {
      if (node.is_directory()) {
        ++directories_[number / geometry_.inodes_per_group];
      }
      BH_TRY(put(record_of(node)));
    }
  }
  return batch.empty() ? Result<>() : write_batch();
}

std::vector<std::byte> ImageFinisher::block_bitmap_of(std::uint32_t group) const {
  const std::uint64_t start = geometry_.group_start(group);
  const std::uint64_t end = start + geometry_.blocks_in_group(group);
  const auto within = [&](std::uint64_t block) {
    return static_cast<std::size_t>(std::clamp(block, start, end) - start);
  };
  std::vector<std::byte> bitmap(block_size());
  set_bits(bitmap, 0, within(parts_.allocator.end()), true);
  const auto& holes = parts_.allocator.holes();
  auto hole = holes.upper_bound(start);
  if (hole != holes.begin()) {
    --hole;
  }
  for (; hole != holes.end() && hole->first < end; ++hole) {
    set_bits(bitmap, within(hole->first), within(hole->first + hole->second), false);
  }
  set_bits(bitmap, 0, geometry_.taken_in_group(group), true);
  return bitmap;
}

Result<> ImageFinisher::write_block_bitmap(std::uint32_t group, GroupDescriptor& descriptor) {
  const std::uint32_t blocks = geometry_.blocks_in_group(group);
  std::uint32_t used = geometry_.taken_in_group(group);
  // The kernel and e2fsck want the last group's bitmap written, and know only what a group has of
  // its own.
  if (geometry_.group_start(group) >= parts_.allocator.end() && group + 1 < geometry_.groups &&
      !geometry_.hosts_next(group)) {
    descriptor.flags = static_cast<std::uint16_t>(descriptor.flags | kGroupBlockUninit);
  } else {
    std::vector<std::byte> bitmap = block_bitmap_of(group);
    used = 0;
    for (const std::byte byte : bitmap) {
      used += static_cast<std::uint32_t>(std::popcount(static_cast<std::uint8_t>(byte)));
    }
    set_bits(bitmap, blocks, geometry_.blocks_per_group(), true);
    const std::uint32_t sum = crc32c(seed_, bitmap);
    descriptor.block_bitmap_csum_lo = low16(sum);
    descriptor.block_bitmap_csum_hi = high16(sum);
    BH_TRY(parts_.writer.write(geometry_.block_bitmap(group), bitmap));
  }
  descriptor.free_blocks_count_lo = low16(blocks - used);
  descriptor.free_blocks_count_hi = high16(blocks - used);
  free_blocks_ += blocks - used;
  return {};
}

Result<> ImageFinisher::write_inode_bitmap(std::uint32_t group, GroupDescriptor& descriptor) {
  const std::uint64_t before = std::uint64_t{group} * geometry_.inodes_per_group;
  const std::uint32_t used = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(last_inode_, before, before + geometry_.inodes_per_group) - before);
  const std::uint32_t unused = geometry_.inodes_per_group - used;
  if (used == 0) {
    descriptor.flags = static_cast<std::uint16_t>(descriptor.flags | kGroupInodeUninit);
  } else {
    std::vector<std::byte> bitmap(block_size());
    set_bits(bitmap, 0, used, true);
    set_bits(bitmap, geometry_.inodes_per_group, std::size_t{8} * block_size(), true);
    const std::uint32_t sum =
        crc32c(seed_, std::span(bitmap).first(geometry_.inodes_per_group / 8));
    descriptor.inode_bitmap_csum_lo = low16(sum);
    descriptor.inode_bitmap_csum_hi = high16(sum);
    BH_TRY(parts_.writer.write(geometry_.inode_bitmap(group), bitmap));
    descriptor.used_dirs_count_lo = low16(directories_[group]);
    descriptor.used_dirs_count_hi = high16(directories_[group]);
  }
  descriptor.free_inodes_count_lo = low16(unused);
  descriptor.free_inodes_count_hi = high16(unused);
  descriptor.itable_unused_lo = low16(unused);
  descriptor.itable_unused_hi = high16(unused);
  return {};
}

void ImageFinisher::seal(GroupDescriptor& descriptor, std::uint32_t group) const {
  const le32 number = group;
  descriptor.checksum =
      low16(crc32c(crc32c(seed_, object_bytes(number)), object_bytes(std::as_const(descriptor))));
}

/// The bitmaps of a group, as far as it needs them, and its descriptor.
Result<GroupDescriptor> ImageFinisher::write_group(std::uint32_t group) {
  GroupDescriptor descriptor{};
  descriptor.flags = std::uint16_t{kGroupInodeZeroed};
  BH_TRY(write_block_bitmap(group, descriptor));
  BH_TRY(write_inode_bitmap(group, descriptor));
  descriptor.block_bitmap_lo = low(geometry_.block_bitmap(group));
  descriptor.block_bitmap_hi = high(geometry_.block_bitmap(group));
  descriptor.inode_bitmap_lo = low(geometry_.inode_bitmap(group));
  descriptor.inode_bitmap_hi = high(geometry_.inode_bitmap(group));
  descriptor.inode_table_lo = low(geometry_.inode_table(group));
  descriptor.inode_table_hi = high(geometry_.inode_table(group));
  seal(descriptor, group);
  return descriptor;
}

Result<> ImageFinisher::write_groups() {
  // Without copies some blocks of descriptors at a time: there may be half a gigabyte of them.
  const std::uint32_t at_once = geometry_.copies && !geometry_.meta_groups
                                    ? geometry_.groups
                                    : geometry_.descriptors_per_block();
  std::vector<GroupDescriptor> descriptors;
  for (std::uint32_t first = 0; first < geometry_.groups; first += at_once) {
    const std::uint32_t end = first + std::min(at_once, geometry_.groups - first);
    descriptors.clear();
    for (std::uint32_t group = first; group < end; ++group) {
      descriptors.push_back(BH_TRY(write_group(group)));
    }
    BH_TRY(write_descriptors(first, descriptors));
  }
  return {};
}

/// From group `first` on, and their copies.
Result<> ImageFinisher::write_descriptors(std::uint32_t first,
                                          std::span<const GroupDescriptor> descriptors) {
  const Bytes bytes = std::as_bytes(descriptors);
  BH_TRY(parts_.writer.write(geometry_.descriptor_block(first / geometry_.descriptors_per_block()),
                             bytes));
  if (!geometry_.copies) {
    return {};
  }
  const std::uint32_t last = first + static_cast<std::uint32_t>(descriptors.size()) - 1;
  for (std::uint32_t group = first + 1; group <= last; ++group) {
    const bool has_copy =
        geometry_.meta_groups
            ? group == first + 1 || group + 1 == first + geometry_.descriptors_per_block()
            : geometry_.has_superblock(group);
    if (has_copy) {
      BH_TRY(parts_.writer.write(
          geometry_.group_start(group) + (geometry_.has_superblock(group) ? 1 : 0), bytes));
    }
  }
  return {};
}

Superblock ImageFinisher::superblock() const {
  Superblock super{};
  super.inodes_count = geometry_.inodes();
  super.blocks_count_lo = low(geometry_.blocks);
  super.blocks_count_hi = high(geometry_.blocks);
  super.free_blocks_count_lo = low(free_blocks_);
  super.free_blocks_count_hi = high(free_blocks_);
  super.free_inodes_count = geometry_.inodes() - last_inode_;
  super.first_data_block = low(geometry_.first_block());
  super.log_block_size = static_cast<std::uint32_t>(std::countr_zero(block_size() / 1024));
  super.log_cluster_size = super.log_block_size;
  super.blocks_per_group = geometry_.blocks_per_group();
  super.clusters_per_group = geometry_.blocks_per_group();
  super.inodes_per_group = geometry_.inodes_per_group;
  super.max_mnt_count = std::uint16_t{0xffff};
  super.magic = kSuperblockMagic;
  super.state = std::uint16_t{1};   // clean
  super.errors = std::uint16_t{1};  // continue
  super.rev_level = 1U;
  super.first_ino = kFirstFreeInode;
  super.inode_size = std::uint16_t{kInodeSize};
  super.feature_compat = kCompatExtAttr | kCompatDirIndex |
                         (geometry_.copies ? 0U : std::uint32_t{kCompatSparseSuper2}) |
                         (parts_.journal.empty() ? 0U : std::uint32_t{kCompatHasJournal});
  super.feature_incompat =
      std::uint32_t{kIncompatFiletype | kIncompatExtents | kIncompat64Bit | kIncompatFlexBg} |
      (geometry_.meta_groups ? std::uint32_t{kIncompatMetaGroups} : 0U);
  super.feature_ro_compat =
      std::uint32_t{kRoCompatLargeFile | kRoCompatHugeFile | kRoCompatDirNlink |
                    kRoCompatExtraIsize | kRoCompatMetadataCsum} |
      (geometry_.copies ? std::uint32_t{kRoCompatSparseSuper} : 0U);
  super.uuid = uuid_;
  std::ranges::copy(parts_.options.label, super.volume_name.begin());
  super.hash_seed = hash_seed_;
  super.def_hash_version = 1;  // half MD4
  super.flags = 1U;            // of signed characters
  super.desc_size = std::uint16_t{sizeof(GroupDescriptor)};
  super.default_mount_opts = kDefaultXattrs | kDefaultAcls | journal_mode_bits(parts_.options);
  super.min_extra_isize = kExtraInodeSize;
  super.want_extra_isize = kExtraInodeSize;
  super.log_groups_per_flex = 4;
  super.checksum_type = 1;  // CRC-32C
  if (!parts_.journal.empty()) {
    super.journal_inum = kJournalInode;
    super.jnl_backup_type = 1;
    const InodeRecord record = journal_record();
    std::memcpy(super.jnl_blocks.data(), record.block.data(), record.block.size());
    super.jnl_blocks[15] = record.size_high;
    super.jnl_blocks[16] = record.size_lo;
  }
  return super;
}

Result<> ImageFinisher::write_superblock(Superblock super, std::uint32_t group) {
  super.block_group_nr = low16(group);
  super.checksum = crc32c(kChecksumStart,
                          object_bytes(std::as_const(super)).first(offsetof(Superblock, checksum)));
  // The first begins behind what boot loaders want, the copies at the beginning of their groups.
  std::vector<std::byte> block(block_size());
  std::memcpy(block.data() + (group == 0 ? kSuperblockOffset % block_size() : 0), &super,
              sizeof super);
  return parts_.writer.write(geometry_.group_start(group), block);
}

}  // namespace bulkhead::ext4
