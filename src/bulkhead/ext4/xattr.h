#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"

// Extended attributes: in the inode behind its fixed fields where they fit, otherwise in one block,
// which inodes with the same attributes share.

namespace bulkhead::ext4 {

/// Whether ext4 stores attributes of this name: user., trusted., security., POSIX ACLs.
bool is_storable_xattr(std::string_view name);

/// Overlayfs's own marks: what is imported must not steer the mount that it becomes part of.
bool is_overlay_mark(std::string_view name);

/// One set of attributes, encoded.
struct XattrSet {
  std::string_view key;             ///< all attributes, as its table knows it by
  std::vector<std::byte> in_inode;  ///< behind i_extra_isize; empty: none
  std::vector<std::byte> entries;   ///< of the block, without header; empty: no block
  std::vector<std::byte> values;    ///< the end of the block
  std::uint32_t block_hash = 0;
  std::uint32_t references = 0;
  /// Given at the end: one block for every kMaxXattrReferences inodes.
  std::vector<std::uint64_t> blocks;
  std::uint32_t next_use = 0;
};

/// An attribute in the form on disk.
struct StoredXattr;

/// All sets of an image, each kept once. Id 0 is the empty set.
class XattrTable {
 public:
  explicit XattrTable(std::uint32_t block_size) : block_size_(block_size) { sets_.emplace_back(); }

  /// The id of these attributes, with one more reference. Of equal names the last wins.
  /// Errors: Unsupported for a name that is not storable; Invalid for a malformed ACL;
  /// ResourceExhausted when they do not fit, or for more than 128 MiB of different ones.
  Result<std::uint32_t> add(std::span<const Xattr> xattrs);

  /// The id of a set with one attribute more or another value, with one more reference. Errors: as
  /// add().
  Result<std::uint32_t> with(std::uint32_t id, const Xattr& xattr);

  /// The id of a set with one attribute less, with one more reference. Errors: NotFound.
  Result<std::uint32_t> without(std::uint32_t id, std::string_view name);

  void remove(std::uint32_t id);

  [[nodiscard]] std::vector<XattrSet>& sets() { return sets_; }

  [[nodiscard]] const XattrSet& set(std::uint32_t id) const { return sets_[id]; }

 private:
  Result<std::uint32_t> add_stored(std::vector<StoredXattr> all);

  std::uint32_t block_size_;
  std::vector<XattrSet> sets_;
  std::map<std::string, std::uint32_t> ids_;
  std::size_t bytes_ = 0;
};

/// Where a set's block is, and who uses it.
struct XattrBlockUse {
  std::uint64_t block = 0;
  std::uint32_t references = 0;
};

/// The block of a set, with its checksum: `block_size` bytes. `seed` is the file system's.
std::vector<std::byte> make_xattr_block(const XattrSet& set, const XattrBlockUse& use,
                                        std::size_t block_size, std::uint32_t seed);

}  // namespace bulkhead::ext4
