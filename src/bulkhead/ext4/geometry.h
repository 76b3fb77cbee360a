#pragma once

#include <cstddef>
#include <cstdint>

#include "bulkhead/base/result.h"

namespace bulkhead::ext4 {

/// Where a group has its bitmaps and its inode table.
enum class MetadataPlace : std::uint8_t {
  /// In the group itself, behind copies of superblock and descriptors: an empty group needs no
  /// bitmap then, because its content follows from where it is.
  InGroups,
  /// In one run from `run_start` on: first the block bitmaps of all groups, then the inode bitmaps,
  /// then the inode tables (flex_bg allows it).
  OneRun,
};

/// Where a file system has what.
struct Geometry {
  std::uint32_t block_size = 4096;
  std::uint64_t blocks = 0;
  std::uint32_t groups = 0;
  std::uint32_t inodes_per_group = 0;
  MetadataPlace place = MetadataPlace::InGroups;
  std::uint64_t run_start = 0;  ///< of OneRun
  /// Descriptors are not behind the superblock but in the groups that they describe (meta_bg):
  /// where they would be too many for the first group.
  bool meta_groups = false;
  /// Groups 1 and the powers of 3, 5 and 7 have copies of superblock and descriptors
  /// (sparse_super); otherwise none has.
  bool copies = false;

  [[nodiscard]] std::uint32_t inodes() const { return groups * inodes_per_group; }

  /// The first block of the first group: with 1 KiB the block before the superblock is outside.
  [[nodiscard]] std::uint64_t first_block() const { return block_size == 1024 ? 1 : 0; }

  /// What one bitmap block covers.
  [[nodiscard]] std::uint32_t blocks_per_group() const { return 8 * block_size; }

  [[nodiscard]] std::uint64_t group_start(std::uint32_t group) const {
    return first_block() + std::uint64_t{group} * blocks_per_group();
  }

  /// The group of a block that is not before the first.
  [[nodiscard]] std::uint32_t group_of(std::uint64_t block) const {
    return static_cast<std::uint32_t>((block - first_block()) / blocks_per_group());
  }

  /// Blocks that group has; the last may be short.
  [[nodiscard]] std::uint32_t blocks_in_group(std::uint32_t group) const;

  [[nodiscard]] std::uint32_t inodes_per_block() const;
  [[nodiscard]] std::uint32_t table_blocks() const;

  [[nodiscard]] std::uint32_t descriptors_per_block() const;
  [[nodiscard]] std::uint64_t descriptor_blocks() const;

  /// Whether a group begins with the superblock or a copy of it.
  [[nodiscard]] bool has_superblock(std::uint32_t group) const;

  /// Where the descriptors of block `index` of them are.
  [[nodiscard]] std::uint64_t descriptor_block(std::uint64_t index) const;

  [[nodiscard]] std::uint64_t block_bitmap(std::uint32_t group) const;
  [[nodiscard]] std::uint64_t inode_bitmap(std::uint32_t group) const;
  [[nodiscard]] std::uint64_t inode_table(std::uint32_t group) const;

  /// Bitmaps and inode tables, of OneRun.
  [[nodiscard]] std::uint64_t run_blocks() const;

  /// Blocks at the beginning of a group that the metadata takes which lies in groups.
  [[nodiscard]] std::uint32_t taken_in_group(std::uint32_t group) const;

  /// Whether metadata of the group after it lies in this one: of the last, if that is too short.
  [[nodiscard]] bool hosts_next(std::uint32_t group) const;

 private:
  [[nodiscard]] std::uint32_t own_blocks() const { return 2 + table_blocks(); }

  [[nodiscard]] std::uint32_t copies_in_group(std::uint32_t group) const;
};

/// Blocks for the descriptors of a file system of `blocks`.
std::uint64_t descriptor_blocks_for(std::uint64_t blocks, std::uint32_t block_size);

/// So many blocks at most have a file system without meta_groups.
std::uint64_t most_blocks_without_meta_groups(std::uint32_t block_size);

struct GeometryOptions {
  std::uint64_t size_bytes = 0;
  std::uint32_t block_size = 4096;
  std::uint32_t bytes_per_inode = 16384;
  bool copies = false;
};

/// For a size that is given; metadata in groups. A last group that has no room for its copies is
/// left out. Errors: Invalid for a size that is too small or too large.
Result<Geometry> fixed_geometry(const GeometryOptions& options);

/// As small as it can be with everything below `used_end` in use and `inodes` inodes; metadata in
/// one run from `used_end` on.
Geometry fitted_geometry(std::uint64_t used_end, std::uint32_t inodes, std::uint32_t block_size);

}  // namespace bulkhead::ext4
