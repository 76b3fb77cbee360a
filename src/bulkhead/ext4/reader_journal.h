#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_layout.h"

// JBD2, read. A journal is a ring of transactions: descriptor blocks, each with tags that say which
// blocks of the file system the copies behind it belong to; blocks that revoke older copies of what
// was freed since; a commit block, without which the transaction does not count. Replaying it is
// remembering where the newest copy of each block is; nothing is written.

namespace bulkhead::ext4 {

struct Replay {
  JournalCopies copies;
  std::uint32_t transactions = 0;
};

/// Reads the journal of an image that was not unmounted, as the kernel does: it ends at the first
/// transaction that is not whole. Errors: Corrupt, naming the block, for a wrong checksum of a
/// block of a whole transaction; Unsupported for a journal on another device and for features that
/// are not known; Io.
Result<Replay> read_journal(BlockReader& blocks, const Layout& layout);

}  // namespace bulkhead::ext4
