#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/tree.h"

namespace bulkhead::ext4 {

using ExtentRoot = std::array<std::byte, 60>;

/// Adds a run to a list in ascending order, joined with the last where they continue each other.
void append_extent(std::vector<Extent>& extents, const Extent& extent);

struct ExtentTree {
  ExtentRoot root;
  std::uint32_t blocks = 0;  ///< of the tree itself
};

/// The tree of a file's extents: in the inode for up to four, otherwise as deep as it takes, its
/// blocks allocated and written. `seed` is the inode's checksum seed. Errors: NoSpace, Io.
Result<ExtentTree> write_extent_tree(std::span<const Extent> extents, std::uint32_t seed,
                                     BlockAllocator& allocator, BlockWriter& writer);

}  // namespace bulkhead::ext4
