#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/directory_blocks.h"
#include "bulkhead/ext4/directory_index.h"
#include "bulkhead/ext4/extents.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/geometry.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/ext4/xattr.h"

namespace bulkhead::ext4 {

/// What an image consists of before its metadata is written.
struct ImageParts {
  Device& device;
  BlockWriter& writer;
  BlockAllocator& allocator;
  Tree& tree;
  XattrTable& xattrs;
  const FormatOptions& options;
  std::optional<Geometry> fixed;  ///< nothing: as small as possible
  std::uint64_t descriptor_room;  ///< not fixed: blocks kept free behind the superblock
  std::vector<Extent> journal;    ///< empty: none
};

/// Writes all metadata of an image, in one go.
class ImageFinisher {
 public:
  explicit ImageFinisher(ImageParts parts) : parts_(std::move(parts)) {}

  Result<FormatResult> run();

 private:
  void number_inodes();
  void choose_uuid();
  Result<> write_directories();
  Result<> write_directory(Node& node);
  Result<> write_entries(Node& node, DirectoryBlocks& blocks);
  Result<> write_extent_trees();
  Result<> write_xattr_blocks();
  Result<> settle_geometry();
  Result<> write_journal();
  Result<> write_inodes();
  Result<> write_groups();
  Result<GroupDescriptor> write_group(std::uint32_t group);
  Result<> write_block_bitmap(std::uint32_t group, GroupDescriptor& descriptor);
  Result<> write_inode_bitmap(std::uint32_t group, GroupDescriptor& descriptor);
  void seal(GroupDescriptor& descriptor, std::uint32_t group) const;
  Result<> write_descriptors(std::uint32_t first, std::span<const GroupDescriptor> descriptors);
  [[nodiscard]] Superblock superblock() const;
  Result<> write_superblock(Superblock super, std::uint32_t group);

  [[nodiscard]] std::uint32_t inode_seed(std::uint32_t number) const;
  InodeRecord record_of(Node& node);
  [[nodiscard]] InodeRecord journal_record() const;
  void seal(InodeRecord& record, std::uint32_t number) const;
  [[nodiscard]] std::vector<std::byte> block_bitmap_of(std::uint32_t group) const;

  [[nodiscard]] std::uint32_t block_size() const { return parts_.writer.block_size(); }

  ImageParts parts_;
  Geometry geometry_;
  Uuid uuid_{};
  HashSeed hash_seed_{};
  std::uint32_t seed_ = 0;                  ///< of all checksums
  std::uint32_t last_inode_ = 0;            ///< inodes 1 to this are in use
  std::vector<std::uint32_t> directories_;  ///< in each group with inodes in use
  ExtentTree journal_tree_{};
  std::uint64_t free_blocks_ = 0;
};

}  // namespace bulkhead::ext4
