#include "bulkhead/ext4/tree.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kArenaBytes = std::size_t{64} << 10U;
constexpr std::size_t kIndexFrom = 16;  // fewer entries are searched one by one
constexpr int kMaxFollowed = 40;

/// Takes the first component off `rest`; empty when there is none.
std::string_view next_component(std::string_view& rest) {
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view component = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!component.empty() && component != ".") {
      return component;
    }
  }
  return {};
}

bool has_component(std::string_view rest) { return !next_component(rest).empty(); }

}  // namespace

Tree::Tree(const std::array<std::uint64_t, 2>& key) : key_(key) {
  Node root;
  root.mode = kModeDirectory | 0755U;
  root.links = 1;
  root.directory = std::make_unique<Directory>();
  nodes_.push_back(std::move(root));
}

// SipHash-1-3: names come from strangers, who could otherwise choose names that collide.
std::uint64_t Tree::hash(std::string_view name) const {
  std::uint64_t v0 = key_[0] ^ 0x736f6d6570736575ULL;
  std::uint64_t v1 = key_[1] ^ 0x646f72616e646f6dULL;
  std::uint64_t v2 = key_[0] ^ 0x6c7967656e657261ULL;
  std::uint64_t v3 = key_[1] ^ 0x7465646279746573ULL;
  const auto round = [&] {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  };
  std::size_t at = 0;
  for (; name.size() - at >= 8; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, name.data() + at, 8);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  std::uint64_t last = std::uint64_t{name.size()} << 56U;
  for (std::size_t shift = 0; at < name.size(); ++at, shift += 8) {
    last |= std::uint64_t{static_cast<unsigned char>(name[at])} << shift;
  }
  v3 ^= last;
  round();
  v0 ^= last;
  v2 ^= 0xffU;
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}

const char* Tree::keep(std::string_view text) {
  if (text.size() > arena_left_) {
    const std::size_t size = std::max(kArenaBytes, text.size());
    arena_.push_back(std::make_unique<char[]>(size));
    arena_next_ = arena_.back().get();
    arena_left_ = size;
  }
  char* const copy = arena_next_;
  std::ranges::copy(text, copy);
  arena_next_ += text.size();
  arena_left_ -= text.size();
  return copy;
}

DirectoryEntry* Tree::find(NodeId id, std::string_view name) {
  Directory& directory = *nodes_[id].directory;
  if (name.empty() || name.size() > kMaxNameBytes) {
    return nullptr;
  }
  if (directory.index.empty()) {
    const auto found =
        std::ranges::find(directory.entries, name, [](const auto& entry) { return entry.text(); });
    return found == directory.entries.end() ? nullptr : &*found;
  }
  const std::size_t mask = directory.index.size() - 1;
  for (std::size_t slot = hash(name) & mask;; slot = (slot + 1) & mask) {
    const std::uint32_t position = directory.index[slot];
    if (position == 0) {
      return nullptr;
    }
    if (directory.entries[position - 1].text() == name) {
      return &directory.entries[position - 1];
    }
  }
}

void Tree::add_to_index(Directory& directory, std::uint32_t position) {
  const std::size_t mask = directory.index.size() - 1;
  std::size_t slot = hash(directory.entries[position].text()) & mask;
  while (directory.index[slot] != 0) {
    slot = (slot + 1) & mask;
  }
  directory.index[slot] = position + 1;
}

void Tree::rebuild_index(Directory& directory) {
  std::erase_if(directory.entries, [](const auto& entry) { return entry.name_length == 0; });
  directory.index.assign(std::bit_ceil(directory.entries.size() * 4), 0);
  for (std::uint32_t i = 0; i < directory.entries.size(); ++i) {
    add_to_index(directory, i);
  }
}

Result<NodeId> Tree::make_node(std::uint16_t mode) {
  NodeId id = 0;
  if (!free_nodes_.empty()) {
    id = free_nodes_.back();
    free_nodes_.pop_back();
    nodes_[id] = Node{};
  } else {
    if (nodes_.size() >= max_nodes_) {
      return fail(ErrorCode::ResourceExhausted, "more than {} inodes", max_nodes_);
    }
    id = static_cast<NodeId>(nodes_.size());
    nodes_.emplace_back();
  }
  nodes_[id].mode = mode;
  return id;
}

Result<NodeId> Tree::make_directory(NodeId parent, std::string_view name, std::uint16_t permissions,
                                    std::uint16_t layer) {
  const auto depth = static_cast<std::uint16_t>(nodes_[parent].directory->depth + 1);
  if (depth > kMaxDepth) {
    return fail(ErrorCode::Invalid, "more than {} levels of directories", kMaxDepth);
  }
  const auto mode = static_cast<std::uint16_t>(kModeDirectory | (permissions & 07777U));
  const NodeId id = BH_TRY(make_node(mode));
  nodes_[id].directory = std::make_unique<Directory>();
  nodes_[id].directory->parent = parent;
  nodes_[id].directory->depth = depth;
  if (auto linked = link(parent, name, id, layer); !linked) {
    release(id);
    return std::move(linked).error();
  }
  return id;
}

Result<> Tree::link(NodeId id, std::string_view name, NodeId node, std::uint16_t layer) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return fail(ErrorCode::Invalid, "a name of {} bytes", name.size());
  }
  Directory& directory = *nodes_[id].directory;
  DirectoryEntry entry;
  entry.name = keep(name);
  entry.name_length = static_cast<std::uint8_t>(name.size());
  entry.node = node;
  entry.layer = layer;
  directory.entries.push_back(entry);
  ++directory.live;
  ++nodes_[node].links;
  if (nodes_[node].is_directory()) {
    ++directory.subdirectories;
  }
  const std::size_t count = directory.entries.size();
  // An index that was made anew after removals may be small, but is never full: a search would not
  // end.
  if (directory.index.empty() ? count > kIndexFrom : count * 2 > directory.index.size()) {
    rebuild_index(directory);
  } else if (!directory.index.empty()) {
    add_to_index(directory, static_cast<std::uint32_t>(count - 1));
  }
  return {};
}

NodeId Tree::unlink(NodeId id, DirectoryEntry& entry) {
  const NodeId node = entry.node;
  BH_CHECK(!nodes_[node].is_directory() || nodes_[node].directory->live == 0);
  detach(*nodes_[id].directory, entry);
  return node;
}

void Tree::detach(Directory& directory, DirectoryEntry& entry) {
  Node& node = nodes_[entry.node];
  if (node.is_directory()) {
    --directory.subdirectories;
  }
  --node.links;
  // The entry stays, nameless, for the index's sake.
  entry.name_length = 0;
  if (--directory.live == 0) {
    directory.entries.clear();
    directory.index.clear();
  }
}

/// The directory itself first, and each before those in it.
std::vector<NodeId> Tree::directories_below(NodeId id) const {
  std::vector<NodeId> found{id};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Directory& directory = *nodes_[found[i]].directory;
    for (const DirectoryEntry& entry : directory.entries) {
      if (entry.name_length > 0 && nodes_[entry.node].is_directory()) {
        found.push_back(entry.node);
      }
    }
  }
  return found;
}

Result<> Tree::check_move(NodeId id, const Place& to) const {
  if (to.name.size() > kMaxNameBytes) {
    return fail(ErrorCode::Invalid, "a name of {} bytes", to.name.size());
  }
  if (!nodes_[id].is_directory()) {
    return {};
  }
  for (NodeId above = to.directory;; above = nodes_[above].directory->parent) {
    if (above == id) {
      return fail(ErrorCode::Invalid, "a directory cannot be moved into itself");
    }
    if (above == kRootNode) {
      break;
    }
  }
  std::uint16_t levels = 0;
  const std::uint16_t depth = nodes_[id].directory->depth;
  for (const NodeId below : directories_below(id)) {
    levels = std::max(levels, static_cast<std::uint16_t>(nodes_[below].directory->depth - depth));
  }
  if (nodes_[to.directory].directory->depth + 1 + levels > kMaxDepth) {
    return fail(ErrorCode::Invalid, "more than {} levels of directories", kMaxDepth);
  }
  return {};
}

Result<> Tree::move(const Place& from, const Place& to, std::uint16_t layer) {
  const NodeId id = find(from.directory, from.name)->node;
  BH_TRY(check_move(id, to));
  BH_TRY(link(to.directory, to.name, id, layer));
  // The new entry may have moved the old one.
  detach(*nodes_[from.directory].directory, *find(from.directory, from.name));
  if (nodes_[id].is_directory()) {
    nodes_[id].directory->parent = to.directory;
    for (const NodeId below : directories_below(id)) {
      Directory& directory = *nodes_[below].directory;
      directory.depth = static_cast<std::uint16_t>(nodes_[directory.parent].directory->depth + 1);
    }
  }
  return {};
}

void Tree::release(NodeId id) {
  BH_CHECK(nodes_[id].links == 0);
  nodes_[id] = Node{};
  free_nodes_.push_back(id);
}

Result<std::optional<Place>> Tree::locate(std::string_view path, MissingParents missing,
                                          std::uint16_t layer) {
  std::string expanded;  // what `rest` points into once a link was followed
  std::string_view rest = path;
  NodeId current = kRootNode;
  int followed = 0;
  while (true) {
    const std::string_view component = next_component(rest);
    if (component.empty()) {
      if (current != kRootNode) {
        return fail(ErrorCode::Invalid, "the path ends with ..");
      }
      return Place{};
    }
    if (component == "..") {
      current = nodes_[current].directory->parent;
      continue;
    }
    if (!has_component(rest)) {
      return Place{current, std::string(component)};
    }
    const DirectoryEntry* entry = find(current, component);
    if (entry == nullptr) {
      if (missing == MissingParents::Report) {
        return std::nullopt;
      }
      current = BH_TRY(make_directory(current, component, 0755, layer));
      continue;
    }
    const Node& node = nodes_[entry->node];
    if (node.is_directory()) {
      current = entry->node;
    } else if (node.is_symlink()) {
      if (++followed > kMaxFollowed) {
        return fail(ErrorCode::Invalid, "more than {} symbolic links on the way", kMaxFollowed);
      }
      if (node.link_target().starts_with('/')) {
        current = kRootNode;
      }
      expanded = std::string(node.link_target()) + "/" + std::string(rest);
      rest = expanded;
    } else {
      return fail(ErrorCode::Invalid, "{} on the way is not a directory", quote(component));
    }
  }
}

}  // namespace bulkhead::ext4
