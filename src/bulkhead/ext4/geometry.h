#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"

namespace bulkhead::ext4 {

/// Where a file system has what. All bitmaps and inode tables lie in one run of blocks: first the
/// block bitmaps of all groups, then the inode bitmaps, then the inode tables (flex_bg allows it).
struct Geometry {
  std::uint64_t blocks = 0;
  std::uint32_t groups = 0;
  std::uint32_t inodes_per_group = 0;
  std::uint64_t metadata_start = 0;

  [[nodiscard]] std::uint32_t inodes() const { return groups * inodes_per_group; }

  [[nodiscard]] std::uint64_t descriptor_blocks() const;

  [[nodiscard]] std::uint32_t table_blocks() const;

  [[nodiscard]] std::uint64_t block_bitmap(std::uint32_t group) const {
    return metadata_start + group;
  }

  [[nodiscard]] std::uint64_t inode_bitmap(std::uint32_t group) const {
    return metadata_start + groups + group;
  }

  [[nodiscard]] std::uint64_t inode_table(std::uint32_t group) const {
    return metadata_start + std::uint64_t{2} * groups + std::uint64_t{group} * table_blocks();
  }

  /// Bitmaps and inode tables.
  [[nodiscard]] std::uint64_t metadata_blocks() const {
    return inode_table(groups) - metadata_start;
  }

  /// Blocks that group has; the last may be short.
  [[nodiscard]] std::uint32_t blocks_in_group(std::uint32_t group) const;
};

/// Blocks for the descriptors of a file system of `blocks`.
std::uint64_t descriptor_blocks_for(std::uint64_t blocks);

/// For a size that is given; metadata behind the descriptors. Errors: Invalid for a size that is
/// too small or too large.
Result<Geometry> fixed_geometry(std::uint64_t size_bytes, std::uint32_t bytes_per_inode);

/// As small as it can be with everything below `used_end` in use and `inodes` inodes; metadata from
/// `used_end` on.
Geometry fitted_geometry(std::uint64_t used_end, std::uint32_t inodes);

}  // namespace bulkhead::ext4
