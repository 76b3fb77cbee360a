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

/// Inodes come in these units: whole blocks of the table and whole bytes of the bitmap.
std::uint32_t inode_unit(const Geometry& geometry) {
  return std::max(std::uint32_t{8}, geometry.inodes_per_block());
}

}  // namespace

std::uint64_t descriptor_blocks_for(std::uint64_t blocks, std::uint32_t block_size) {
  return divide_up(divide_up(blocks, std::uint64_t{8} * block_size) * sizeof(GroupDescriptor),
                   block_size);
}

std::uint64_t most_blocks_without_meta_groups(std::uint32_t block_size) {
  // A quarter of the first group. Half may be its own bitmaps, table and those of a short last one.
  const std::uint64_t descriptor_blocks = std::uint64_t{2} * block_size;
  return descriptor_blocks * (block_size / sizeof(GroupDescriptor)) * 8 * block_size;
}

std::uint32_t Geometry::blocks_in_group(std::uint32_t group) const {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(blocks_per_group(), blocks - group_start(group)));
}

std::uint32_t Geometry::inodes_per_block() const {
  return static_cast<std::uint32_t>(block_size / kInodeSize);
}

std::uint32_t Geometry::table_blocks() const { return inodes_per_group / inodes_per_block(); }

std::uint32_t Geometry::descriptors_per_block() const {
  return static_cast<std::uint32_t>(block_size / sizeof(GroupDescriptor));
}

std::uint64_t Geometry::descriptor_blocks() const {
  return divide_up(groups, descriptors_per_block());
}

bool Geometry::has_superblock(std::uint32_t group) const {
  if (group == 0 || (copies && group == 1)) {
    return true;
  }
  const auto is_power_of = [group](std::uint32_t base) {
    std::uint64_t power = base;
    while (power < group) {
      power *= base;
    }
    return power == group;
  };
  return copies && (is_power_of(3) || is_power_of(5) || is_power_of(7));
}

std::uint64_t Geometry::descriptor_block(std::uint64_t index) const {
  if (!meta_groups) {
    return first_block() + 1 + index;
  }
  const std::uint32_t group = static_cast<std::uint32_t>(index) * descriptors_per_block();
  return group_start(group) + (has_superblock(group) ? 1 : 0);
}

std::uint32_t Geometry::copies_in_group(std::uint32_t group) const {
  const std::uint32_t superblock = has_superblock(group) ? 1 : 0;
  if (!meta_groups) {
    return superblock * static_cast<std::uint32_t>(1 + descriptor_blocks());
  }
  // The descriptors are in the first group of their meta group; the second and the last have a
  // place for copies, whether these are written or not.
  const std::uint32_t within = group % descriptors_per_block();
  const bool has_descriptors = within <= 1 || within == descriptors_per_block() - 1;
  return superblock + (has_descriptors ? 1 : 0);
}

bool Geometry::hosts_next(std::uint32_t group) const {
  return place == MetadataPlace::InGroups && group + 2 == groups &&
         blocks_in_group(group + 1) < copies_in_group(group + 1) + own_blocks();
}

std::uint32_t Geometry::taken_in_group(std::uint32_t group) const {
  const std::uint32_t before = copies_in_group(group);
  if (place == MetadataPlace::OneRun) {
    return before;
  }
  const bool is_hosted = group > 0 && hosts_next(group - 1);
  return before + (is_hosted ? 0 : own_blocks()) + (hosts_next(group) ? own_blocks() : 0);
}

std::uint64_t Geometry::block_bitmap(std::uint32_t group) const {
  if (place == MetadataPlace::OneRun) {
    return run_start + group;
  }
  if (group > 0 && hosts_next(group - 1)) {
    return block_bitmap(group - 1) + own_blocks();
  }
  return group_start(group) + copies_in_group(group);
}

std::uint64_t Geometry::inode_bitmap(std::uint32_t group) const {
  return place == MetadataPlace::OneRun ? run_start + groups + group : block_bitmap(group) + 1;
}

std::uint64_t Geometry::inode_table(std::uint32_t group) const {
  return place == MetadataPlace::OneRun
             ? run_start + std::uint64_t{2} * groups + std::uint64_t{group} * table_blocks()
             : block_bitmap(group) + 2;
}

std::uint64_t Geometry::run_blocks() const { return std::uint64_t{groups} * own_blocks(); }

Result<Geometry> fixed_geometry(const GeometryOptions& options) {
  const auto [size_bytes, block_size, bytes_per_inode, copies] = options;
  if (size_bytes > kMostBytes || bytes_per_inode < 1024) {
    return fail(ErrorCode::Invalid, "format: {} bytes with an inode for {} bytes each", size_bytes,
                bytes_per_inode);
  }
  Geometry geometry;
  geometry.block_size = block_size;
  geometry.copies = copies;
  geometry.blocks = size_bytes / block_size;
  geometry.groups = static_cast<std::uint32_t>(
      divide_up(geometry.blocks - std::min(geometry.blocks, geometry.first_block()),
                geometry.blocks_per_group()));
  if (geometry.groups == 0) {
    return fail(ErrorCode::Invalid, "format: {} bytes are too few", size_bytes);
  }
  const std::uint64_t unit = inode_unit(geometry);
  const std::uint64_t wanted = std::clamp<std::uint64_t>(
      divide_up(size_bytes / bytes_per_inode, geometry.groups), unit, geometry.blocks_per_group());
  const std::uint64_t most = UINT32_MAX / geometry.groups / unit * unit;
  geometry.inodes_per_group =
      static_cast<std::uint32_t>(std::min(divide_up(wanted, unit) * unit, most));
  geometry.meta_groups = geometry.blocks > most_blocks_without_meta_groups(block_size);
  const std::uint32_t last = geometry.groups - 1;
  if (last > 0 && geometry.taken_in_group(last) > geometry.blocks_in_group(last)) {
    geometry.blocks = geometry.group_start(last);
    --geometry.groups;
  }
  if (geometry.taken_in_group(0) + kSpareBlocks > geometry.blocks_in_group(0)) {
    return fail(ErrorCode::Invalid, "format: {} bytes are too few", size_bytes);
  }
  return geometry;
}

Geometry fitted_geometry(std::uint64_t used_end, std::uint32_t inodes, std::uint32_t block_size) {
  Geometry geometry;
  geometry.block_size = block_size;
  geometry.place = MetadataPlace::OneRun;
  geometry.run_start = used_end;
  const std::uint64_t unit = inode_unit(geometry);
  for (geometry.groups = 1;; ++geometry.groups) {
    const std::uint64_t per_group = divide_up(divide_up(inodes, geometry.groups), unit) * unit;
    if (per_group > geometry.blocks_per_group()) {
      continue;
    }
    geometry.inodes_per_group = static_cast<std::uint32_t>(per_group);
    const std::uint64_t end = used_end + geometry.run_blocks();
    if (end > geometry.group_start(geometry.groups)) {
      continue;
    }
    // Inodes may need more groups than blocks do: then the last one has a few blocks of its own.
    geometry.blocks = std::max(end, geometry.group_start(geometry.groups - 1) + unit);
    return geometry;
  }
}

}  // namespace bulkhead::ext4
