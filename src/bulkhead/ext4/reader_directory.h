#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/reader_xattr.h"

namespace bulkhead::ext4 {

/// An entry of a directory. The name is valid until the next one is read.
struct NameView {
  std::string_view name;
  std::uint32_t inode = 0;
};

/// Reads the entries of a directory in the order of its blocks; a hash tree is passed over, as its
/// blocks look empty to who reads in order.
class DirectoryReader {
 public:
  /// Borrows `blocks` and `layout`. Errors: Invalid when the inode is no directory; Unsupported for
  /// an encrypted one; Corrupt.
  static Result<DirectoryReader> open(BlockReader& blocks, const Layout& layout,
                                      const Inode& inode);

  DirectoryReader(DirectoryReader&&) = default;
  DirectoryReader& operator=(DirectoryReader&&) = delete;
  DirectoryReader(const DirectoryReader&) = delete;
  DirectoryReader& operator=(const DirectoryReader&) = delete;
  ~DirectoryReader() = default;

  /// The next entry, "." and ".." left out; false after the last. Names are not empty and hold
  /// neither '/' nor NUL; inodes exist and are not reserved. Errors: Corrupt, naming inode and
  /// block; Io.
  Result<bool> next(NameView& entry);

  /// As ".." has it.
  [[nodiscard]] std::uint32_t parent() const { return parent_; }

 private:
  DirectoryReader(BlockReader& blocks, const Layout& layout, const Inode& inode);

  Result<> open_inline(const Inode& inode);
  Result<bool> next_area();
  Result<> check_checksum(Bytes block) const;
  Result<> check_index_checksum(Bytes block, std::size_t at) const;
  Result<bool> take_dots(const NameView& entry);
  [[nodiscard]] Error corrupt(const char* what) const;

  BlockReader& blocks_;
  const Layout& layout_;
  BlockMap map_;
  std::uint32_t inode_;
  std::uint32_t seed_;
  bool is_indexed_;
  std::uint32_t parent_ = 0;
  std::uint64_t next_block_ = 0;
  std::uint64_t end_block_ = 0;
  std::uint64_t physical_ = 0;  ///< of the block that is read; 0: the inode
  Block block_;                 ///< what `area_` is part of
  InlineContent inline_;
  bool has_inline_rest_ = false;
  Bytes area_;
  std::size_t at_ = 0;
};

}  // namespace bulkhead::ext4
