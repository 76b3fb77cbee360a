#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/source.h"

namespace bulkhead::ext4 {

/// The bytes of one block. Shared, because the cache drops blocks that a walk still looks at.
using Block = std::shared_ptr<const std::vector<std::byte>>;

/// Where the journal has the newer content of a block.
struct JournalCopy {
  std::uint64_t block = 0;
  bool is_escaped = false;  ///< its first four bytes, the journal's magic number, were zeroed
};

/// By block of the file system.
using JournalCopies = std::map<std::uint64_t, JournalCopy>;

/// The blocks of an image as they are after the replay of its journal. Metadata goes through a
/// cache of bounded size; file contents, which are read once, do not.
class BlockReader {
 public:
  /// `source` is borrowed. Blocks from `blocks` on do not exist.
  BlockReader(Source& source, std::uint32_t block_size, std::uint64_t blocks,
              std::size_t cache_bytes);

  /// Errors: Corrupt for a block that does not exist; Io.
  Result<Block> block(std::uint64_t number);

  /// Fills `buffer` from `offset` bytes into the block `start`, over as many blocks as it takes.
  Result<> read(std::uint64_t start, std::uint64_t offset, MutableBytes buffer);

  void set_journal_copies(JournalCopies copies);

 private:
  struct Slot {
    std::uint64_t number = 0;
    Block block;
  };

  Result<> read_copy(const JournalCopy& copy, MutableBytes content);

  Source& source_;
  std::uint32_t block_size_;
  std::uint64_t blocks_;
  std::vector<Slot> slots_;  ///< a block has one place
  JournalCopies copies_;
};

}  // namespace bulkhead::ext4
