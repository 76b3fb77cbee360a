#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {

/// The content of the one file that is being written: cut into blocks, blocks of zeros left out.
class FileContent {
 public:
  explicit FileContent(std::uint32_t block_size) : partial_(block_size) {}

  void start();

  Result<> append(Bytes data, BlockAllocator& allocator, BlockWriter& writer);

  Result<> append_hole(std::uint64_t length, BlockAllocator& allocator, BlockWriter& writer);

  /// Whole blocks of another file, the last of which may hold less, and zeros behind it: only
  /// finish() may follow then. Errors: FailedPrecondition in the middle of a block.
  Result<> append_copy(const os::FileRange& from, BlockAllocator& allocator, BlockWriter& writer);

  /// Puts size and blocks into the node. Errors as append().
  Result<> finish(Node& node, BlockAllocator& allocator, BlockWriter& writer);

  /// The blocks of the file, until the next is started.
  [[nodiscard]] std::span<const Extent> extents() const { return extents_; }

 private:
  [[nodiscard]] std::size_t block_size() const { return partial_.size(); }

  [[nodiscard]] Result<> check_blocks(std::uint64_t blocks) const;
  [[nodiscard]] Result<> check_open() const;
  Result<BlockRun> extend(std::uint64_t blocks, BlockAllocator& allocator);
  Result<> write_partial(BlockAllocator& allocator, BlockWriter& writer);
  Result<> write_blocks(Bytes data, BlockAllocator& allocator, BlockWriter& writer);
  Result<> write_run(Bytes data, BlockAllocator& allocator, BlockWriter& writer);

  std::uint64_t block_ = 0;  ///< that comes next
  std::vector<std::byte> partial_;
  std::size_t partial_size_ = 0;
  std::size_t padding_ = 0;  ///< at the end of the last block, after append_copy()
  std::vector<Extent> extents_;
};

}  // namespace bulkhead::ext4
