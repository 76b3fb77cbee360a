#include "bulkhead/ext4/geometry.h"

#include <algorithm>
#include <cstdint>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 40U;
constexpr std::uint64_t kSpareBlocks = 8;  // a root directory and something in it

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return (value + by - 1) / by;
}

}  // namespace

std::uint64_t descriptor_blocks_for(std::uint64_t blocks) {
  return divide_up(divide_up(blocks, kBlocksPerGroup) * sizeof(GroupDescriptor), kBlockSize);
}

std::uint64_t Geometry::descriptor_blocks() const {
  return divide_up(std::uint64_t{groups} * sizeof(GroupDescriptor), kBlockSize);
}

std::uint32_t Geometry::table_blocks() const { return inodes_per_group / kInodesPerBlock; }

std::uint32_t Geometry::blocks_in_group(std::uint32_t group) const {
  const std::uint64_t start = std::uint64_t{group} * kBlocksPerGroup;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(kBlocksPerGroup, blocks - start));
}

Result<Geometry> fixed_geometry(std::uint64_t size_bytes, std::uint32_t bytes_per_inode) {
  if (size_bytes > kMostBytes || bytes_per_inode < kBlockSize / 4) {
    return fail(ErrorCode::Invalid, "format: {} bytes with an inode for {} bytes each", size_bytes,
                bytes_per_inode);
  }
  Geometry geometry;
  geometry.blocks = size_bytes / kBlockSize;
  geometry.groups = static_cast<std::uint32_t>(divide_up(geometry.blocks, kBlocksPerGroup));
  if (geometry.groups == 0) {
    return fail(ErrorCode::Invalid, "format: {} bytes are too few", size_bytes);
  }
  const std::uint64_t wanted =
      std::clamp<std::uint64_t>(divide_up(size_bytes / bytes_per_inode, geometry.groups),
                                kInodesPerBlock, kMaxInodesPerGroup);
  const std::uint64_t most = UINT32_MAX / geometry.groups / kInodesPerBlock * kInodesPerBlock;
  geometry.inodes_per_group = static_cast<std::uint32_t>(
      std::min(divide_up(wanted, kInodesPerBlock) * kInodesPerBlock, most));
  geometry.metadata_start = 1 + geometry.descriptor_blocks();
  if (geometry.metadata_start + geometry.metadata_blocks() + kSpareBlocks > geometry.blocks) {
    return fail(ErrorCode::Invalid, "format: {} bytes are too few", size_bytes);
  }
  return geometry;
}

Geometry fitted_geometry(std::uint64_t used_end, std::uint32_t inodes) {
  Geometry geometry;
  geometry.metadata_start = used_end;
  for (geometry.groups = 1;; ++geometry.groups) {
    const std::uint64_t per_group =
        divide_up(divide_up(inodes, geometry.groups), kInodesPerBlock) * kInodesPerBlock;
    if (per_group > kMaxInodesPerGroup) {
      continue;
    }
    geometry.inodes_per_group = static_cast<std::uint32_t>(per_group);
    const std::uint64_t end = used_end + geometry.metadata_blocks();
    const std::uint64_t groups = divide_up(end, kBlocksPerGroup);
    if (groups > geometry.groups) {
      continue;
    }
    // Inodes may need more groups than blocks do: then the last one has a block of its own.
    geometry.blocks =
        std::max(end, std::uint64_t{geometry.groups - 1} * kBlocksPerGroup + kInodesPerBlock);
    return geometry;
  }
}

}  // namespace bulkhead::ext4
