#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"

namespace bulkhead::ext4 {

/// Writes the blocks of one directory, entry by entry.
class DirectoryBlocks {
 public:
  /// What entries may take of a block.
  static constexpr std::size_t room(std::size_t block_size) {
    return block_size - sizeof(DirectoryTail);
  }

  static constexpr std::size_t entry_size(std::string_view name) {
    return (sizeof(DirectoryEntryHead) + name.size() + 3) / 4 * 4;
  }

  /// `seed` is the inode's checksum seed.
  DirectoryBlocks(std::uint32_t seed, BlockAllocator& allocator, BlockWriter& writer)
      : seed_(seed), allocator_(allocator), writer_(writer), content_(writer.block_size()) {}

  Result<> add(std::string_view name, std::uint32_t inode, std::uint8_t type);

  /// A block of another form, as it stands. No entries may be waiting.
  Result<> add_raw(Bytes block);

  /// Writes the last block.
  Result<> finish();

  [[nodiscard]] std::uint32_t seed() const { return seed_; }

  [[nodiscard]] std::size_t block_size() const { return content_.size(); }

  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }

  [[nodiscard]] std::vector<Extent>& extents() { return extents_; }

 private:
  Result<> close_block();
  Result<> write(Bytes block);

  std::uint32_t seed_;
  BlockAllocator& allocator_;
  BlockWriter& writer_;
  std::vector<std::byte> content_;
  std::size_t used_ = 0;
  std::size_t last_ = 0;  ///< where the last entry begins
  std::uint32_t blocks_ = 0;
  std::vector<Extent> extents_;
};

/// The type of a directory entry for an inode of that mode.
std::uint8_t entry_type(std::uint16_t mode);

}  // namespace bulkhead::ext4
