#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"

namespace bulkhead::ext4 {

/// The content of the one file that is being written: cut into blocks, blocks of zeros left out.
class FileContent {
 public:
  Result<> append(Bytes data, BlockAllocator& allocator, BlockWriter& writer);

  Result<> append_hole(std::uint64_t length, BlockAllocator& allocator, BlockWriter& writer);

  /// Puts size and blocks into the node and starts over. Errors as append().
  Result<> finish(Node& node, BlockAllocator& allocator, BlockWriter& writer);

 private:
  Result<> write_partial(BlockAllocator& allocator, BlockWriter& writer);
  Result<> write_blocks(Bytes data, BlockAllocator& allocator, BlockWriter& writer);
  Result<> write_run(Bytes data, BlockAllocator& allocator, BlockWriter& writer);

  std::uint64_t block_ = 0;  ///< that comes next
  std::array<std::byte, kBlockSize> partial_{};
  std::size_t partial_size_ = 0;
  std::vector<Extent> extents_;
};

}  // namespace bulkhead::ext4
