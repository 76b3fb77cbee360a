#include "bulkhead/ext4/tar_exporter.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/archive/tar_writer.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_xattr.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20U;
constexpr std::size_t kMaxPath = 65535;

archive::EntryType entry_type_of(const Inode& inode) {
  switch (inode.type()) {
    case kModeDirectory:
      return archive::EntryType::Directory;
    case kModeSymlink:
      return archive::EntryType::Symlink;
    case kModeCharacter:
      return archive::EntryType::CharacterDevice;
    case kModeBlock:
      return archive::EntryType::BlockDevice;
    case kModeFifo:
      return archive::EntryType::Fifo;
    case kModeSocket:
      return archive::EntryType::Socket;
    default:
      return archive::EntryType::File;
  }
}

archive::EntryTime time_of(const Timestamp& time) {
  return {.seconds = time.seconds, .nanoseconds = time.nanoseconds};
}

/// Overlayfs keeps what it remembers of a file under these names, and shows none of them.
constexpr std::string_view kOverlayXattrs = "trusted.overlay.";

/// One of the trees that make what is exported.
struct Layer {
  explicit Layer(Image& of)
      : image(of), blocks_left(of.layout().blocks), is_seen(std::size_t{of.layout().inodes} + 1) {}

  Image& image;
  std::uint64_t blocks_left;  ///< a block is in one file only, so all files have no more than these
  std::vector<bool> is_seen;  ///< directories by inode
  std::map<std::uint32_t, std::string> first_names;  ///< of files with more links
};

/// What one path names. A directory that is in both layers has the upper one's attributes.
struct Node {
  Layer* layer = nullptr;
  Inode inode;
  std::vector<XattrValue> xattrs;
  std::optional<Inode> lower;
};

/// An entry of a directory, by its inodes.
struct MergedEntry {
  std::string name;
  std::optional<std::uint32_t> upper;
  std::optional<std::uint32_t> lower;
};

/// Two lists in order of names as one.
std::vector<MergedEntry> merge(std::vector<NamedEntry> upper, std::vector<NamedEntry> lower) {
  std::vector<MergedEntry> merged;
  merged.reserve(std::max(upper.size(), lower.size()));
  auto above = upper.begin();
  auto below = lower.begin();
  while (above != upper.end() || below != lower.end()) {
    const bool has_upper =
        above != upper.end() && (below == lower.end() || above->name <= below->name);
    const bool has_lower =
        below != lower.end() && (above == upper.end() || below->name <= above->name);
    MergedEntry entry;
    if (has_lower) {
      entry.lower = below->inode;
      entry.name = std::move((below++)->name);
    }
    if (has_upper) {
      entry.upper = above->inode;
      entry.name = std::move((above++)->name);
    }
    merged.push_back(std::move(entry));
  }
  return merged;
}

bool is_whiteout(const Inode& inode) {
  return inode.type() == kModeCharacter && inode.device.major == 0 && inode.device.minor == 0;
}

/// Writes one tree, or two as overlayfs shows them.
class Exporter {
 public:
  Exporter(Image& image, archive::Writer& to) : lower_(image), tar_(to), buffer_(kBuffer) {}

  Exporter(Image& upper, Image& lower, archive::Writer& to) : Exporter(lower, to) {
    upper_.emplace(upper);
  }

  Result<ExportResult> run(const Inode& top, std::string_view name) {
    path_ = top.is_directory() ? std::string_view() : name;
    Node node = BH_TRY(load(upper_ ? *upper_ : lower_, top));
    if (upper_) {
      node.lower = BH_TRY(lower_.image.resolve("/"));
    }
    BH_TRY(add(node));
    while (!stack_.empty()) {
      BH_TRY(step());
    }
    BH_TRY(tar_.finish());
    return result_;
  }

 private:
  /// A directory whose entries are being written.
  struct Frame {
    std::vector<MergedEntry> entries;
    std::size_t next = 0;
    std::size_t path_size = 0;
  };

  Result<> step();
  static Result<Node> load(Layer& layer, Inode inode);
  Result<std::optional<Node>> find(const MergedEntry& entry);
  Result<std::optional<Node>> find_upper(const MergedEntry& entry);
  Result<> add(const Node& node);
  Result<std::vector<NamedEntry>> list(Layer& layer, const Inode& directory);
  Result<> enter(const Node& directory);
  Result<> add_file(const Node& node, archive::TarEntry& entry);
  Result<std::vector<archive::DataRange>> ranges_of(Layer& layer, FileReader& file);
  Result<> spend(Layer& layer, std::uint64_t blocks);

  Layer lower_;
  std::optional<Layer> upper_;
  archive::TarWriter tar_;
  std::vector<std::byte> buffer_;
  std::vector<Frame> stack_;
  std::string path_;
  ExportResult result_;
};

Result<> Exporter::spend(Layer& layer, std::uint64_t blocks) {
  if (blocks > layer.blocks_left) {
    return fail(ErrorCode::Corrupt, "{}: the files have more blocks than the image", quote(path_));
  }
  layer.blocks_left -= blocks;
  return {};
}

Result<> Exporter::step() {
  Frame& frame = stack_.back();
  path_.resize(frame.path_size);
  if (frame.next == frame.entries.size()) {
    stack_.pop_back();
    return {};
  }
  const MergedEntry& entry = frame.entries[frame.next++];
  if (!path_.empty()) {
    path_ += '/';
  }
  path_ += entry.name;
  if (path_.size() > kMaxPath) {
    return fail(ErrorCode::Unsupported, "{}: a path of more than {} bytes", quote(path_), kMaxPath);
  }
  auto node = find(entry);
  if (!node) {
    return std::move(node).error().about(path_);
  }
  return *node ? add(**node).about(path_) : Result<>();
}

Result<Node> Exporter::load(Layer& layer, Inode inode) {
  std::vector<XattrValue> xattrs = BH_TRY(layer.image.xattrs(inode));
  return Node{.layer = &layer, .inode = std::move(inode), .xattrs = std::move(xattrs), .lower = {}};
}

/// Nothing: a whiteout.
Result<std::optional<Node>> Exporter::find(const MergedEntry& entry) {
  if (entry.upper) {
    return find_upper(entry);
  }
  Inode inode = BH_TRY(lower_.image.inode(*entry.lower));
  if (upper_ && is_whiteout(inode)) {
    return std::nullopt;
  }
  return load(lower_, std::move(inode));
}

Result<std::optional<Node>> Exporter::find_upper(const MergedEntry& entry) {
  Node node = BH_TRY(load(*upper_, BH_TRY(upper_->image.inode(*entry.upper))));
  if (is_whiteout(node.inode)) {
    return std::nullopt;
  }
  bool is_opaque = false;
  for (const XattrValue& xattr : node.xattrs) {
    // No mount of ours makes them: what they mean would be guessed.
    if (xattr.name == "trusted.overlay.metacopy" || xattr.name == "trusted.overlay.redirect") {
      return fail(ErrorCode::Unsupported, "inode {}: by {} its content is in another place",
                  node.inode.number, xattr.name);
    }
    is_opaque =
        is_opaque || (xattr.name == "trusted.overlay.opaque" && as_text(xattr.value) == "y");
  }
  if (entry.lower && node.inode.is_directory() && !is_opaque) {
    Inode lower = BH_TRY(lower_.image.inode(*entry.lower));
    if (lower.is_directory()) {
      node.lower = std::move(lower);
    }
  }
  return node;
}

Result<std::vector<NamedEntry>> Exporter::list(Layer& layer, const Inode& directory) {
  if (layer.is_seen[directory.number]) {
    return fail(ErrorCode::Corrupt, "inode {}: a directory in two places", directory.number);
  }
  layer.is_seen[directory.number] = true;
  BH_TRY(spend(layer, directory.size / layer.image.layout().block_size));
  return layer.image.list(directory);
}

Result<> Exporter::enter(const Node& directory) {
  Frame frame{.entries = {}, .next = 0, .path_size = path_.size()};
  std::vector<NamedEntry> entries = BH_TRY(list(*directory.layer, directory.inode));
  if (directory.lower) {
    std::vector<NamedEntry> below = BH_TRY(list(lower_, *directory.lower));
    frame.entries = merge(std::move(entries), std::move(below));
  } else if (directory.layer == &lower_) {
    frame.entries = merge({}, std::move(entries));
  } else {
    frame.entries = merge(std::move(entries), {});
  }
  stack_.push_back(std::move(frame));
  return {};
}

Result<> Exporter::add(const Node& node) {
  const Inode& inode = node.inode;
  archive::TarEntry entry{.path = path_,
                          .type = entry_type_of(inode),
                          .permissions = static_cast<std::uint16_t>(inode.mode & 07777U),
                          .uid = inode.uid,
                          .gid = inode.gid,
                          .modified = time_of(inode.modified),
                          .device_major = inode.device.major,
                          .device_minor = inode.device.minor};
  if (entry.type == archive::EntryType::Socket) {
    ++result_.sockets;
    return {};
  }
  ++result_.entries;
  if (!inode.is_directory() && inode.links > 1) {
    const auto [first, is_new] = node.layer->first_names.try_emplace(inode.number, path_);
    if (!is_new) {
      entry.type = archive::EntryType::HardLink;
      entry.link = first->second;
      return tar_.add(entry);
    }
  }
  for (const XattrValue& xattr : node.xattrs) {
    if (!upper_ || !xattr.name.starts_with(kOverlayXattrs)) {
      entry.xattrs.push_back({.name = xattr.name, .value = xattr.value});
    }
  }
  if (inode.is_file()) {
    return add_file(node, entry);
  }
  std::string target;
  if (inode.is_symlink()) {
    target = BH_TRY(node.layer->image.read_link(inode));
    entry.link = target;
  }
  BH_TRY(tar_.add(entry));
  return inode.is_directory() ? enter(node) : Result<>();
}

/// The parts of a file that are not holes.
Result<std::vector<archive::DataRange>> Exporter::ranges_of(Layer& layer, FileReader& file) {
  std::vector<archive::DataRange> ranges;
  const std::uint64_t block_size = layer.image.layout().block_size;
  std::uint64_t leaves = 0;
  for (std::uint64_t at = 0; at < file.size();) {
    const FilePart part = BH_TRY(file.part(at));
    BH_TRY(spend(layer, file.leaves() - leaves));
    leaves = file.leaves();
    if (!part.is_hole) {
      BH_TRY(spend(layer, part.length / block_size));
      if (!ranges.empty() && ranges.back().offset + ranges.back().length == at) {
        ranges.back().length += part.length;
      } else {
        ranges.push_back({.offset = at, .length = part.length});
      }
    }
    at += part.length;
  }
  return ranges;
}

Result<> Exporter::add_file(const Node& node, archive::TarEntry& entry) {
  FileReader file = BH_TRY(node.layer->image.open_file(node.inode));
  entry.size = file.size();
  const std::vector<archive::DataRange> ranges = BH_TRY(ranges_of(*node.layer, file));
  const bool is_whole = file.size() == 0 || (ranges.size() == 1 && ranges[0].offset == 0 &&
                                             ranges[0].length == file.size());
  BH_TRY(is_whole ? tar_.add(entry) : tar_.add_sparse(entry, ranges));
  for (const archive::DataRange& range : ranges) {
    for (std::uint64_t done = 0; done < range.length;) {
      const MutableBytes piece = MutableBytes(buffer_).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), range.length - done)));
      const std::size_t size = BH_TRY(file.read(range.offset + done, piece));
      BH_TRY(tar_.write(piece.first(size)));
      done += size;
    }
    result_.content_bytes += range.length;
  }
  return {};
}

}  // namespace

Result<ExportResult> export_tar(Image& image, const Inode& top, std::string_view name,
                                archive::Writer& to) {
  Exporter exporter(image, to);
  return exporter.run(top, name);
}

Result<ExportResult> export_overlay(Image& upper, const Inode& upper_top, Image& lower,
                                    archive::Writer& to) {
  if (!upper_top.is_directory()) {
    return fail(ErrorCode::Invalid, "inode {}: not a directory", upper_top.number);
  }
  Exporter exporter(upper, lower, to);
  return exporter.run(upper_top, "");
}

}  // namespace bulkhead::ext4
