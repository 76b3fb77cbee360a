#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/on_disk.h"

// The names and inodes of an image while it is being made, kept small: an image may hold millions.

namespace bulkhead::ext4 {

using NodeId = std::uint32_t;

inline constexpr NodeId kRootNode = 0;
inline constexpr std::uint16_t kMaxDepth = 2048;
inline constexpr std::size_t kMaxNameBytes = 255;

/// A run of a file's blocks. `count` may exceed what one extent on disk holds.
struct Extent {
  std::uint32_t logical = 0;
  std::uint32_t count = 0;
  std::uint64_t start = 0;
};

/// The blocks of a file that are not simply one run from its beginning.
struct ExtentMap {
  std::vector<Extent> extents;
  /// Set when the tree's blocks are written.
  std::array<std::byte, 60> root{};
  std::uint32_t tree_blocks = 0;
};

struct DirectoryEntry {
  const char* name = nullptr;  ///< in the tree's arena
  NodeId node = 0;
  std::uint16_t layer = 0;
  std::uint8_t name_length = 0;  ///< 0: removed

  [[nodiscard]] std::string_view text() const { return {name, name_length}; }
};

static_assert(sizeof(DirectoryEntry) == 16);

struct Directory {
  std::vector<DirectoryEntry> entries;  ///< in order of making, removed ones among them
  std::vector<std::uint32_t> index;     ///< open addressing; entry + 1, or 0; empty for few entries
  std::uint32_t live = 0;
  std::uint32_t subdirectories = 0;
  NodeId parent = kRootNode;
  std::uint16_t depth = 0;
};

struct Node {
  std::uint64_t size = 0;
  std::uint64_t start = 0;  ///< first block of the only run; of a device node, its number
  std::int64_t modified = 0;
  std::int64_t accessed = 0;
  std::uint32_t modified_nanoseconds = 0;
  std::uint32_t accessed_nanoseconds = 0;
  std::uint32_t run = 0;  ///< blocks of the only run
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t links = 0;  ///< 0: not in use
  std::uint32_t xattrs = 0;
  std::uint32_t number = 0;  ///< inode number, given at the end
  std::uint16_t mode = 0;
  bool is_indexed = false;       ///< a directory that was written with an index
  const char* target = nullptr;  ///< of a symbolic link, `size` bytes in the arena
  std::unique_ptr<ExtentMap> map;
  std::unique_ptr<Directory> directory;

  [[nodiscard]] std::uint16_t type() const { return mode & kModeTypeMask; }

  [[nodiscard]] bool is_directory() const { return type() == kModeDirectory; }

  [[nodiscard]] bool is_symlink() const { return type() == kModeSymlink; }

  [[nodiscard]] std::string_view link_target() const { return {target, size}; }
};

/// Where a path leads: a name in a directory, or, without a name, the root itself.
struct Place {
  NodeId directory = kRootNode;
  std::string name;

  [[nodiscard]] bool is_root() const { return name.empty(); }
};

enum class MissingParents : std::uint8_t { Make, Report };

class Tree {
 public:
  /// A tree with an empty root directory. `key` makes the order of hash tables unforeseeable.
  explicit Tree(const std::array<std::uint64_t, 2>& key);

  [[nodiscard]] Node& node(NodeId id) { return nodes_[id]; }

  [[nodiscard]] const Node& node(NodeId id) const { return nodes_[id]; }

  /// Nodes ever made; some are not in use.
  [[nodiscard]] NodeId size() const { return static_cast<NodeId>(nodes_.size()); }

  [[nodiscard]] NodeId nodes_in_use() const {
    return static_cast<NodeId>(nodes_.size() - free_nodes_.size());
  }

  void set_max_nodes(NodeId limit) { max_nodes_ = limit; }

  /// Follows `path` up to its last component. Nothing when a directory on the way is absent and is
  /// not to be made (as `layer`).
  Result<std::optional<Place>> locate(std::string_view path, MissingParents missing,
                                      std::uint16_t layer);

  /// The entry of that name, or nullptr. Valid until the directory changes.
  DirectoryEntry* find(NodeId directory, std::string_view name);

  /// A new node without links. Errors: ResourceExhausted.
  Result<NodeId> make_node(std::uint16_t mode);

  /// A new, empty directory that has its entry in `parent`. Errors: also Invalid beyond kMaxDepth.
  Result<NodeId> make_directory(NodeId parent, std::string_view name, std::uint16_t permissions,
                                std::uint16_t layer);

  /// Adds a name, which must be new, and counts the link. Errors: Invalid for a long name.
  Result<> link(NodeId directory, std::string_view name, NodeId node, std::uint16_t layer);

  /// Takes a name out and uncounts the link. The node, if it has no more links, is the caller's to
  /// release. A directory must be empty.
  NodeId unlink(NodeId directory, DirectoryEntry& entry);

  /// Whether a node may be moved to that name. Errors: Invalid for a directory into itself or
  /// beyond kMaxDepth, and for a long name.
  [[nodiscard]] Result<> check_move(NodeId id, const Place& to) const;

  /// Gives what `from` names the name `to`, which must be new; a directory takes its tree with it.
  /// Errors: those of check_move(), and nothing is moved then.
  Result<> move(const Place& from, const Place& to, std::uint16_t layer);

  /// Makes a node's slot free. It has no links.
  void release(NodeId id);

  /// A copy of `text` that lives as long as the tree.
  const char* keep(std::string_view text);

 private:
  void detach(Directory& directory, DirectoryEntry& entry);
  [[nodiscard]] std::vector<NodeId> directories_below(NodeId id) const;
  void add_to_index(Directory& directory, std::uint32_t position);
  void rebuild_index(Directory& directory);
  [[nodiscard]] std::uint64_t hash(std::string_view name) const;

  std::array<std::uint64_t, 2> key_;
  std::deque<Node> nodes_;
  std::vector<NodeId> free_nodes_;
  NodeId max_nodes_ = UINT32_MAX;
  std::vector<std::unique_ptr<char[]>> arena_;
  std::size_t arena_left_ = 0;
  char* arena_next_ = nullptr;
};

}  // namespace bulkhead::ext4
