#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"

namespace bulkhead::ext4 {

/// An extended attribute by its whole name, its value as the system call has it.
struct XattrValue {
  std::string name;
  std::vector<std::byte> value;
};

/// In the order in which they are stored. Errors: Corrupt, naming inode and block; Io.
Result<std::vector<XattrValue>> read_xattrs(BlockReader& blocks, const Layout& layout,
                                            const Inode& inode);

/// The content of an inode that has it inline, cut at its size: what is in i_block, and what an
/// attribute holds beyond that. Errors: Corrupt.
struct InlineContent {
  std::vector<std::byte> head;
  std::vector<std::byte> rest;
};

Result<InlineContent> read_inline(const Layout& layout, const Inode& inode);

}  // namespace bulkhead::ext4
