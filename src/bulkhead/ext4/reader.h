#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_directory.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/reader_xattr.h"
#include "bulkhead/ext4/source.h"

// Reading ext2, ext3 and ext4 images that strangers made: docs/formats/ext4.md. An image that was
// not unmounted is read as it is after the replay of its journal, which is remembered, not written.
// Nothing that an image says is believed: what is wrong is Corrupt, naming inode and block.

namespace bulkhead::ext4 {

struct ReadOptions {
  /// For metadata. Never more than the image.
  std::size_t cache_bytes = std::size_t{8} << 20U;
};

/// A part of a file that is all data or all hole.
struct FilePart {
  std::uint64_t length = 0;
  bool is_hole = false;
};

/// The content of one file.
class FileReader {
 public:
  /// Borrows `blocks` and `layout`. Errors: Invalid when the inode is no regular file; Unsupported
  /// for an encrypted one; Corrupt.
  static Result<FileReader> open(BlockReader& blocks, const Layout& layout, const Inode& inode);

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Fills `buffer` from `offset`; less at the end of the file, 0 beyond it. Errors: Corrupt; Io.
  Result<std::size_t> read(std::uint64_t offset, MutableBytes buffer);

  /// What begins at `offset`, which is before the end. Errors: Corrupt; Io.
  Result<FilePart> part(std::uint64_t offset);

  /// See BlockMap::leaves().
  [[nodiscard]] std::uint64_t leaves() const { return map_.leaves(); }

 private:
  FileReader(BlockReader& blocks, const Layout& layout, const Inode& inode);

  BlockReader& blocks_;
  std::uint64_t block_size_;
  std::uint64_t size_;
  bool is_inline_;
  std::vector<std::byte> inline_;
  BlockMap map_;
};

struct NamedEntry {
  std::string name;
  std::uint32_t inode = 0;
};

enum class LastLink : std::uint8_t { Follow, Keep };

/// An open image. One thread at a time.
class Image {
 public:
  /// `source` is borrowed. Errors: Invalid for what is not ext4; Unsupported, Corrupt, Io.
  static Result<Image> open(Source& source, const ReadOptions& options = {});

  [[nodiscard]] const Layout& layout() const { return *layout_; }

  /// Transactions that were taken from the journal.
  [[nodiscard]] std::uint32_t replayed_transactions() const { return replayed_; }

  [[nodiscard]] BlockReader& blocks() { return *blocks_; }

  Result<Inode> inode(std::uint32_t number);

  /// The inode that a path names. Symbolic links are followed inside the image, at most 40; ".." of
  /// the root is the root. Errors: NotFound; Invalid, naming the path, for a component that is not
  /// a directory, too many links, and a path of more than 4095 bytes.
  Result<Inode> resolve(std::string_view path, LastLink last = LastLink::Follow);

  /// The entries of a directory, in order of their names. Errors: Corrupt too for two of one name.
  Result<std::vector<NamedEntry>> list(const Inode& directory);

  Result<DirectoryReader> open_directory(const Inode& directory);

  Result<FileReader> open_file(const Inode& file);

  /// Errors: Invalid when it is no symbolic link.
  Result<std::string> read_link(const Inode& link);

  Result<std::vector<XattrValue>> xattrs(const Inode& inode);

 private:
  Image(std::unique_ptr<Layout> layout, std::unique_ptr<BlockReader> blocks);

  Result<> replay(Source& source);
  Result<std::uint32_t> look_up(const Inode& directory, std::string_view name);

  // On the heap, because what was opened borrows them and an Image is moved.
  std::unique_ptr<Layout> layout_;
  std::unique_ptr<BlockReader> blocks_;
  std::uint32_t replayed_ = 0;
};

}  // namespace bulkhead::ext4
