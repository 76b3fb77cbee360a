#include "bulkhead/ext4/formatter.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/extents.h"
#include "bulkhead/ext4/file_content.h"
#include "bulkhead/ext4/geometry.h"
#include "bulkhead/ext4/image_finisher.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/ext4/xattr.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kMaxLabelBytes = 16;
constexpr std::size_t kFastSymlinkBytes = 60;
constexpr std::uint32_t kMaxMajor = 1U << 12U;
constexpr std::uint32_t kMaxMinor = 1U << 20U;
constexpr std::uint16_t kMaxLayers = 0xffff;
constexpr std::uint64_t kLeastJournalBlocks = 1024;       // the kernel's
constexpr std::uint64_t kMostJournalBlocks = 10'240'000;  // mke2fs's
constexpr std::uint64_t kScratchJournalBytes = std::uint64_t{16} << 20U;

// 34 bits of seconds, the first of them 2^31 before the epoch.
constexpr std::int64_t kEarliest = -(std::int64_t{1} << 31U);
constexpr std::int64_t kLatest = kEarliest + (std::int64_t{1} << 34U) - 1;

std::uint16_t mode_type(NodeType type) {
  switch (type) {
    case NodeType::CharacterDevice:
      return kModeCharacter;
    case NodeType::BlockDevice:
      return kModeBlock;
    case NodeType::Fifo:
      return kModeFifo;
    case NodeType::Socket:
      return kModeSocket;
  }
  return kModeFifo;
}

/// As an inode holds it: the old 16-bit form where it fits.
std::uint32_t encode_device(DeviceNumber number) {
  if (number.major < 256 && number.minor < 256) {
    return number.major << 8U | number.minor;
  }
  return (number.minor & 0xffU) | number.major << 8U | (number.minor & ~0xffU) << 12U;
}

std::pair<std::int64_t, std::uint32_t> clamped(const Timestamp& time) {
  return {std::clamp(time.seconds, kEarliest, kLatest),
          std::min(time.nanoseconds, std::uint32_t{999'999'999})};
}

void change(Node& node, const AttributeChange& change) {
  if (change.permissions) {
    node.mode = static_cast<std::uint16_t>(node.type() | (*change.permissions & 07777U));
  }
  node.uid = change.uid.value_or(node.uid);
  node.gid = change.gid.value_or(node.gid);
  if (change.modified) {
    std::tie(node.modified, node.modified_nanoseconds) = clamped(*change.modified);
  }
  if (change.accessed) {
    std::tie(node.accessed, node.accessed_nanoseconds) = clamped(*change.accessed);
  }
}

void set_attributes(Node& node, const Attributes& attributes) {
  change(node, {.permissions = attributes.permissions,
                .uid = attributes.uid,
                .gid = attributes.gid,
                .modified = attributes.modified,
                .accessed = attributes.accessed.value_or(attributes.modified)});
}

Result<std::array<std::uint64_t, 2>> random_key() {
  const std::string id = BH_TRY(make_id());
  std::array<std::uint64_t, 2> key{};
  std::memcpy(key.data(), id.data(), sizeof key);
  return key;
}

Result<> check_options(const FormatOptions& options) {
  if (options.label.size() > kMaxLabelBytes) {
    return fail(ErrorCode::Invalid, "format: label {} is longer than {} bytes",
                quote(options.label), kMaxLabelBytes);
  }
  if (options.block_size != 1024 && options.block_size != 2048 && options.block_size != 4096) {
    return fail(ErrorCode::Invalid, "format: blocks of {} bytes: there are 1024, 2048 and 4096",
                options.block_size);
  }
  const std::uint64_t journal_blocks = options.journal_bytes / options.block_size;
  if (options.journal_bytes != 0 &&
      (options.size_bytes == 0 || journal_blocks < kLeastJournalBlocks ||
       journal_blocks > kMostJournalBlocks)) {
    return fail(ErrorCode::Invalid, "format: a journal of {} bytes in a file system of {}",
                options.journal_bytes, options.size_bytes);
  }
  if (options.journal_mode && options.journal_bytes == 0) {
    return fail(ErrorCode::Invalid, "format: a journal's mode without a journal");
  }
  if (options.keep_replaced && options.size_bytes != 0) {
    return fail(ErrorCode::Invalid, "format: replaced files are kept only in a read-only image");
  }
  if (options.size_bytes == 0 && options.can_grow_mounted) {
    return fail(ErrorCode::Invalid, "format: an image without free space cannot grow");
  }
  if (options.size_bytes == 0 && options.limit_bytes > std::uint64_t{64} << 40U) {
    return fail(ErrorCode::Invalid, "format: a limit of {} bytes", options.limit_bytes);
  }
  return {};
}

/// Blocks that an image of unknown size may have: its descriptors must fit behind the superblock.
std::uint64_t limit_of(const FormatOptions& options) {
  return std::min(options.limit_bytes / options.block_size,
                  most_blocks_without_meta_groups(options.block_size));
}

}  // namespace

struct Formatter::State {
  State(Device& to, std::unique_ptr<Device> owned_device, FormatOptions format_options,
        const std::optional<Geometry>& fixed_layout, const std::array<std::uint64_t, 2>& key)
      : owned(std::move(owned_device)),
        device(to),
        options(std::move(format_options)),
        fixed(fixed_layout),
        descriptor_room(fixed ? 0 : descriptor_blocks_for(limit_of(options), options.block_size)),
        writer(device, options.block_size),
        allocator(fixed
                      ? BlockAllocator(*fixed)
                      : BlockAllocator(1 + kSuperblockOffset / options.block_size + descriptor_room,
                                       limit_of(options),
                                       options.keep_replaced ? Freed::Keep : Freed::Reuse)),
        tree(key),
        xattrs(options.block_size),
        content(options.block_size) {}

  std::unique_ptr<Device> owned;
  Device& device;
  FormatOptions options;
  std::optional<Geometry> fixed;
  std::uint64_t descriptor_room;
  BlockWriter writer;
  BlockAllocator allocator;
  Tree tree;
  XattrTable xattrs;
  std::vector<Extent> journal;
  std::uint16_t layer = 1;
  std::optional<NodeId> open;
  FileContent content;

  Result<> allocate_journal();
  Result<> close_file();
  void drop(NodeId id);
  void remove_entry(NodeId directory, DirectoryEntry& entry);
  void remove_children(NodeId directory);
  void white_out_entry(NodeId directory, std::size_t position);
  void white_out_children(NodeId directory);
  Result<Place> place_of(std::string_view path);
  Result<NodeId> existing(std::string_view path);
  Result<> rename(std::string_view from, std::string_view to);
  Result<NodeId> make(std::string_view path, std::uint16_t type, const Attributes& attributes,
                      std::span<const Xattr> xattrs);
  Result<> make_directory(std::string_view path, const Attributes& attributes,
                          std::span<const Xattr> xattrs);
  Result<> make_symlink(std::string_view path, std::string_view target,
                        const Attributes& attributes, std::span<const Xattr> xattrs);
  Result<> make_hard_link(std::string_view path, std::string_view target);
};

Result<> Formatter::State::allocate_journal() {
  const auto blocks = static_cast<std::uint32_t>(options.journal_bytes / options.block_size);
  for (std::uint32_t at = 0; at < blocks;) {
    const BlockRun run = BH_TRY(allocator.allocate(blocks - at).context("the journal"));
    append_extent(journal, {.logical = at, .count = run.count, .start = run.start});
    at += run.count;
  }
  return {};
}

Result<> Formatter::State::close_file() {
  if (!open) {
    return {};
  }
  const NodeId id = *std::exchange(open, std::nullopt);
  return content.finish(tree.node(id), allocator, writer);
}

/// A link of the node is gone; with the last, so are its blocks.
void Formatter::State::drop(NodeId id) {
  Node& node = tree.node(id);
  if (node.links > 0) {
    return;
  }
  if (node.map) {
    for (const Extent& extent : node.map->extents) {
      allocator.free({extent.start, extent.count});
    }
  } else if (node.run > 0) {
    allocator.free({node.start, node.run});
  }
  xattrs.remove(node.xattrs);
  tree.release(id);
}

void Formatter::State::remove_entry(NodeId directory, DirectoryEntry& entry) {
  if (tree.node(entry.node).is_directory()) {
    remove_children(entry.node);
  }
  drop(tree.unlink(directory, entry));
}

// Recursion ends at kMaxDepth levels.
void Formatter::State::remove_children(NodeId directory) {
  auto& entries = tree.node(directory).directory->entries;
  // NOLINTNEXTLINE(modernize-loop-convert): the last unlink empties the list
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name_length > 0) {
      remove_entry(directory, entries[i]);
    }
  }
}

/// Removes what lower layers made of an entry: a directory stays while something new is in it.
void Formatter::State::white_out_entry(NodeId directory, std::size_t position) {
  DirectoryEntry& entry = tree.node(directory).directory->entries[position];
  const Node& node = tree.node(entry.node);
  if (node.is_directory()) {
    white_out_children(entry.node);
    if (node.directory->live > 0) {
      return;
    }
  }
  if (entry.layer < layer) {
    remove_entry(directory, entry);
  }
}

void Formatter::State::white_out_children(NodeId directory) {
  const auto& entries = tree.node(directory).directory->entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name_length > 0) {
      white_out_entry(directory, i);
    }
  }
}

Result<Place> Formatter::State::place_of(std::string_view path) {
  return *BH_TRY(tree.locate(path, MissingParents::Make, layer));
}

Result<NodeId> Formatter::State::existing(std::string_view path) {
  const std::optional<Place> place = BH_TRY(tree.locate(path, MissingParents::Report, layer));
  if (place && place->is_root()) {
    return kRootNode;
  }
  const DirectoryEntry* entry = place ? tree.find(place->directory, place->name) : nullptr;
  if (entry == nullptr) {
    return fail(ErrorCode::NotFound, "does not exist");
  }
  return entry->node;
}

Result<> Formatter::State::rename(std::string_view from, std::string_view to) {
  const std::optional<Place> source = BH_TRY(tree.locate(from, MissingParents::Report, layer));
  const std::optional<Place> target = BH_TRY(tree.locate(to, MissingParents::Report, layer));
  if ((source && source->is_root()) || (target && target->is_root())) {
    return fail(ErrorCode::Invalid, "the root keeps its name");
  }
  const DirectoryEntry* entry = source ? tree.find(source->directory, source->name) : nullptr;
  if (entry == nullptr || !target) {
    return fail(ErrorCode::NotFound, "does not exist");
  }
  const NodeId id = entry->node;
  BH_TRY(tree.check_move(id, *target));
  if (DirectoryEntry* old = tree.find(target->directory, target->name); old != nullptr) {
    if (old->node == id) {
      return {};
    }
    const Node& replaced = tree.node(old->node);
    if (replaced.is_directory() != tree.node(id).is_directory()) {
      return fail(ErrorCode::Invalid, "a directory and another file do not replace each other");
    }
    if (replaced.directory && replaced.directory->live > 0) {
      return fail(ErrorCode::Invalid, "{} is not empty", quote(to));
    }
    remove_entry(target->directory, *old);
  }
  return tree.move(*source, *target, layer);
}

/// A new node under `path`, in the place of whatever is there.
Result<NodeId> Formatter::State::make(std::string_view path, std::uint16_t type,
                                      const Attributes& attributes,
                                      std::span<const Xattr> wanted_xattrs) {
  const Place place = BH_TRY(place_of(path));
  if (place.is_root()) {
    return fail(ErrorCode::Invalid, "the root is a directory");
  }
  const std::uint32_t xattr_set = BH_TRY(xattrs.add(wanted_xattrs));
  const NodeId id = BH_TRY(tree.make_node(type));
  tree.node(id).xattrs = xattr_set;
  set_attributes(tree.node(id), attributes);
  if (DirectoryEntry* entry = tree.find(place.directory, place.name); entry != nullptr) {
    remove_entry(place.directory, *entry);
  }
  if (auto linked = tree.link(place.directory, place.name, id, layer); !linked) {
    drop(id);
    return std::move(linked).error();
  }
  return id;
}

Result<> Formatter::State::make_directory(std::string_view path, const Attributes& attributes,
                                          std::span<const Xattr> wanted_xattrs) {
  const Place place = BH_TRY(place_of(path));
  NodeId id = kRootNode;
  if (!place.is_root()) {
    DirectoryEntry* entry = tree.find(place.directory, place.name);
    if (entry != nullptr && tree.node(entry->node).is_directory()) {
      entry->layer = layer;
      id = entry->node;
    } else {
      if (entry != nullptr) {
        remove_entry(place.directory, *entry);
      }
      id = BH_TRY(tree.make_directory(place.directory, place.name, attributes.permissions, layer));
    }
  }
  const std::uint32_t xattr_set = BH_TRY(xattrs.add(wanted_xattrs));
  Node& node = tree.node(id);
  xattrs.remove(std::exchange(node.xattrs, xattr_set));
  set_attributes(node, attributes);
  return {};
}

Result<> Formatter::State::make_symlink(std::string_view path, std::string_view target,
                                        const Attributes& attributes,
                                        std::span<const Xattr> wanted_xattrs) {
  if (target.empty() || target.size() >= options.block_size ||
      target.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "a symbolic link to {}", quote(target));
  }
  const NodeId id = BH_TRY(make(path, kModeSymlink, attributes, wanted_xattrs));
  Node& node = tree.node(id);
  node.target = tree.keep(target);
  node.size = target.size();
  if (target.size() >= kFastSymlinkBytes) {
    const BlockRun run = BH_TRY(allocator.allocate(1));
    BH_TRY(writer.write(run.start, as_bytes(target)));
    node.start = run.start;
    node.run = run.count;
  }
  return {};
}

Result<> Formatter::State::make_hard_link(std::string_view path, std::string_view target) {
  const std::optional<Place> from = BH_TRY(tree.locate(target, MissingParents::Report, layer));
  const DirectoryEntry* found =
      from && !from->is_root() ? tree.find(from->directory, from->name) : nullptr;
  if (found == nullptr) {
    return fail(ErrorCode::Invalid, "a hard link to {}, which does not exist", quote(target));
  }
  const NodeId id = found->node;
  Node& node = tree.node(id);
  if (node.is_directory()) {
    return fail(ErrorCode::Invalid, "a hard link to {}, a directory", quote(target));
  }
  if (node.links >= kMaxLinks) {
    return fail(ErrorCode::ResourceExhausted, "{} has {} links already", quote(target), kMaxLinks);
  }
  const Place place = BH_TRY(place_of(path));
  if (place.is_root()) {
    return fail(ErrorCode::Invalid, "the root is a directory");
  }
  if (DirectoryEntry* entry = tree.find(place.directory, place.name); entry != nullptr) {
    if (entry->node == id) {
      entry->layer = layer;
      return {};
    }
    // The target may be in the tree that is replaced: it must not go with it.
    ++node.links;
    remove_entry(place.directory, *entry);
    --node.links;
  }
  if (auto linked = tree.link(place.directory, place.name, id, layer); !linked) {
    drop(id);
    return linked;
  }
  return {};
}

Formatter::Formatter(std::unique_ptr<State> state) : state_(std::move(state)) {}

Formatter::Formatter(Formatter&&) noexcept = default;
Formatter& Formatter::operator=(Formatter&&) noexcept = default;
Formatter::~Formatter() = default;

namespace {

Result<std::optional<Geometry>> layout_of(const FormatOptions& options) {
  BH_TRY(check_options(options));
  if (options.size_bytes == 0) {
    return std::nullopt;
  }
  return BH_TRY(fixed_geometry({.size_bytes = options.size_bytes,
                                .block_size = options.block_size,
                                .bytes_per_inode = options.bytes_per_inode,
                                .copies = options.can_grow_mounted}));
}

}  // namespace

Result<Formatter> Formatter::create(Device& device, const FormatOptions& options) {
  const std::optional<Geometry> layout = BH_TRY(layout_of(options));
  auto state = std::make_unique<State>(device, nullptr, options, layout, BH_TRY(random_key()));
  state->tree.set_max_nodes(options.max_inodes);
  BH_TRY(state->allocate_journal());
  if (options.lost_and_found) {
    BH_TRY(state->make_directory("lost+found", {.permissions = 0700}, {}));
  }
  return Formatter(std::move(state));
}

Result<Formatter> Formatter::create(int fd, const FormatOptions& options) {
  auto device = std::make_unique<FileDevice>(fd);
  Formatter formatter = BH_TRY(create(*device, options));
  formatter.state_->owned = std::move(device);
  return formatter;
}

void Formatter::begin_layer() {
  BH_CHECK(state_->layer < kMaxLayers);
  ++state_->layer;
}

Result<> Formatter::make_directory(std::string_view path, const Attributes& attributes,
                                   std::span<const Xattr> xattrs) {
  BH_TRY(state_->close_file());
  return state_->make_directory(path, attributes, xattrs).about(path);
}

Result<> Formatter::begin_file(std::string_view path, const Attributes& attributes,
                               std::span<const Xattr> xattrs) {
  BH_TRY(state_->close_file());
  state_->open = BH_TRY(state_->make(path, kModeFile, attributes, xattrs).about(path));
  state_->content.start();
  return {};
}

Result<> Formatter::append(Bytes data) {
  if (!state_->open) {
    return fail(ErrorCode::FailedPrecondition, "append: no file is open");
  }
  return state_->content.append(data, state_->allocator, state_->writer);
}

Result<> Formatter::append_hole(std::uint64_t length) {
  if (!state_->open) {
    return fail(ErrorCode::FailedPrecondition, "append: no file is open");
  }
  return state_->content.append_hole(length, state_->allocator, state_->writer);
}

Result<> Formatter::append_copy(const os::FileRange& from) {
  if (!state_->open) {
    return fail(ErrorCode::FailedPrecondition, "append: no file is open");
  }
  return state_->content.append_copy(from, state_->allocator, state_->writer);
}

Result<> Formatter::end_file() { return state_->close_file(); }

std::span<const Extent> Formatter::content() const { return state_->content.extents(); }

Result<> Formatter::flush() { return state_->writer.flush(); }

Result<> Formatter::make_symlink(std::string_view path, std::string_view target,
                                 const Attributes& attributes, std::span<const Xattr> xattrs) {
  BH_TRY(state_->close_file());
  return state_->make_symlink(path, target, attributes, xattrs).about(path);
}

Result<> Formatter::make_hard_link(std::string_view path, std::string_view target) {
  BH_TRY(state_->close_file());
  return state_->make_hard_link(path, target).about(path);
}

Result<> Formatter::make_node(std::string_view path, NodeType type, DeviceNumber number,
                              const Attributes& attributes, std::span<const Xattr> xattrs) {
  BH_TRY(state_->close_file());
  const bool is_device = type == NodeType::CharacterDevice || type == NodeType::BlockDevice;
  if (is_device && (number.major >= kMaxMajor || number.minor >= kMaxMinor)) {
    return fail(ErrorCode::Invalid, "{}: device {}:{} is out of range", quote(path), number.major,
                number.minor);
  }
  const NodeId id = BH_TRY(state_->make(path, mode_type(type), attributes, xattrs).about(path));
  state_->tree.node(id).start = is_device ? encode_device(number) : 0;
  return {};
}

Result<> Formatter::change_attributes(std::string_view path, const AttributeChange& change) {
  BH_TRY(state_->close_file());
  const NodeId id = BH_TRY(state_->existing(path).about(path));
  ext4::change(state_->tree.node(id), change);
  return {};
}

Result<> Formatter::set_xattr(std::string_view path, const Xattr& xattr) {
  BH_TRY(state_->close_file());
  Node& node = state_->tree.node(BH_TRY(state_->existing(path).about(path)));
  const std::uint32_t with = BH_TRY(state_->xattrs.with(node.xattrs, xattr).about(path));
  state_->xattrs.remove(std::exchange(node.xattrs, with));
  return {};
}

Result<> Formatter::remove_xattr(std::string_view path, std::string_view name) {
  BH_TRY(state_->close_file());
  Node& node = state_->tree.node(BH_TRY(state_->existing(path).about(path)));
  const std::uint32_t without = BH_TRY(state_->xattrs.without(node.xattrs, name).about(path));
  state_->xattrs.remove(std::exchange(node.xattrs, without));
  return {};
}

Result<> Formatter::rename(std::string_view from, std::string_view to) {
  BH_TRY(state_->close_file());
  return state_->rename(from, to).about(from);
}

Result<> Formatter::remove(std::string_view path) {
  BH_TRY(state_->close_file());
  Tree& tree = state_->tree;
  const auto place = BH_TRY(tree.locate(path, MissingParents::Report, state_->layer).about(path));
  if (place && place->is_root()) {
    return fail(ErrorCode::Invalid, "{}: the root cannot be removed", quote(path));
  }
  if (place) {
    if (DirectoryEntry* entry = tree.find(place->directory, place->name); entry != nullptr) {
      state_->remove_entry(place->directory, *entry);
    }
  }
  return {};
}

Result<> Formatter::white_out(std::string_view path) {
  BH_TRY(state_->close_file());
  Tree& tree = state_->tree;
  const auto place = BH_TRY(tree.locate(path, MissingParents::Report, state_->layer).about(path));
  if (place && place->is_root()) {
    return fail(ErrorCode::Invalid, "{}: the root cannot be removed", quote(path));
  }
  if (place) {
    if (DirectoryEntry* entry = tree.find(place->directory, place->name); entry != nullptr) {
      const auto& entries = tree.node(place->directory).directory->entries;
      state_->white_out_entry(place->directory, static_cast<std::size_t>(entry - entries.data()));
    }
  }
  return {};
}

Result<> Formatter::white_out_children(std::string_view path) {
  BH_TRY(state_->close_file());
  Tree& tree = state_->tree;
  // With a component behind it, links in `path` are followed to their end.
  const std::string inside = std::string(path) + "/x";
  const auto place = BH_TRY(tree.locate(inside, MissingParents::Report, state_->layer).about(path));
  if (place) {
    state_->white_out_children(place->directory);
  }
  return {};
}

bool Formatter::exists(std::string_view path) const {
  const auto place = state_->tree.locate(path, MissingParents::Report, state_->layer);
  return place && *place &&
         ((*place)->is_root() || state_->tree.find((*place)->directory, (*place)->name) != nullptr);
}

Result<FormatResult> Formatter::finish() && {
  BH_TRY(state_->close_file());
  ImageFinisher finisher({.device = state_->device,
                          .writer = state_->writer,
                          .allocator = state_->allocator,
                          .tree = state_->tree,
                          .xattrs = state_->xattrs,
                          .options = state_->options,
                          .fixed = state_->fixed,
                          .descriptor_room = state_->descriptor_room,
                          .journal = state_->journal});
  return finisher.run();
}

Result<FormatResult> format_empty(int fd, const FormatOptions& options) {
  return BH_TRY(Formatter::create(fd, options)).finish();
}

Result<FormatResult> format_scratch(int fd, std::uint64_t size_bytes,
                                    const std::optional<Uuid>& uuid) {
  return format_empty(
      fd, {.size_bytes = size_bytes, .uuid = uuid, .journal_bytes = kScratchJournalBytes});
}

}  // namespace bulkhead::ext4
