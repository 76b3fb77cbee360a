#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"

namespace bulkhead::ext4 {

enum class RunKind : std::uint8_t {
  Data,
  Hole,       ///< reads as zeros
  Unwritten,  ///< allocated; reads as zeros
};

/// Blocks of a file that follow each other on disk.
struct Run {
  std::uint64_t logical = 0;
  std::uint64_t count = 0;
  std::uint64_t physical = 0;  ///< not of holes
  RunKind kind = RunKind::Hole;
};

/// Where the blocks of one inode are: extents, or the block pointers of ext2 and ext3. It keeps the
/// runs of one leaf of the tree, so that reading a file in order looks at each leaf once.
class BlockMap {
 public:
  /// Borrows `blocks` and `layout`.
  BlockMap(BlockReader& blocks, const Layout& layout, const Inode& inode);

  /// The run that holds `logical`, from there on, up to `end` at most.
  /// Errors: Corrupt, naming inode and block; Io.
  Result<Run> find(std::uint64_t logical, std::uint64_t end);

  /// Leaves outside of the inode that were looked at: a right file system has no more of them than
  /// blocks, so who walks it whole can bound its work.
  [[nodiscard]] std::uint64_t leaves() const { return leaves_; }

 private:
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  Result<> load_extents(std::uint64_t logical);
  Result<> load_extent_leaf(Bytes node, std::uint64_t node_block, const Range& range);
  Result<> check_extent_node(Bytes node, std::uint64_t node_block, std::size_t capacity,
                             std::uint32_t depth) const;
  Result<> check_extent_checksum(Bytes node, std::uint64_t node_block) const;
  Result<> load_pointers(std::uint64_t logical);
  Result<> load_pointer_leaf(Bytes pointers, std::uint64_t node_block, std::uint64_t first);

  [[nodiscard]] Error corrupt(std::uint64_t block, const char* what) const;

  BlockReader& blocks_;
  const Layout& layout_;
  std::uint32_t inode_;
  std::uint32_t seed_;
  bool has_extents_;
  std::array<std::byte, 60> root_;
  Range leaf_;
  std::vector<Run> runs_;  ///< of the leaf, without holes
  std::uint64_t leaves_ = 0;
};

}  // namespace bulkhead::ext4
