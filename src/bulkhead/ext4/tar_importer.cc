#include "bulkhead/ext4/tar_importer.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/xattr.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kWhiteoutMetaPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";

struct SplitPath {
  std::string_view parent;
  std::string_view name;
};

SplitPath split_path(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return {{}, path};
  }
  return {path.substr(0, slash), path.substr(slash + 1)};
}

/// Overlayfs's own marks: an image must not steer the mount that it becomes part of.
bool is_overlay_mark(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Timestamp timestamp_of(const archive::EntryTime& time) {
  return {.seconds = time.seconds, .nanoseconds = time.nanoseconds};
}

/// One layer on its way into an image.
class LayerImport {
 public:
  LayerImport(Formatter& formatter, archive::TarReader& tar, const LayerOptions& options)
      : formatter_(formatter), tar_(tar), options_(options) {}

  Result<LayerStats> run() {
    formatter_.begin_layer();
    while (const archive::TarEntry* entry = BH_TRY(tar_.next())) {
      ++stats_.entries;
      if (options_.whiteouts == Whiteouts::Ignore || !BH_TRY(apply_whiteout(*entry))) {
        BH_TRY(apply(*entry));
      }
    }
    BH_TRY(tar_.drain());
    return stats_;
  }

 private:
  /// Whether the entry is a whiteout, or a leftover of aufs, and not part of the tree.
  Result<bool> apply_whiteout(const archive::TarEntry& entry) {
    const auto [parent, name] = split_path(entry.path);
    if (name == kOpaqueName) {
      ++stats_.whiteouts;
      BH_TRY(formatter_.white_out_children(parent));
      return true;
    }
    if (is_meta(entry.path)) {
      return true;
    }
    if (!name.starts_with(kWhiteoutPrefix)) {
      return false;
    }
    const std::string_view victim = name.substr(kWhiteoutPrefix.size());
    if (victim.empty() || victim == "." || victim == "..") {
      return fail(ErrorCode::Invalid, "entry {}: a whiteout of nothing", quote(entry.path));
    }
    ++stats_.whiteouts;
    path_ = parent;
    path_ += '/';
    path_ += victim;
    BH_TRY(formatter_.white_out(path_));
    return true;
  }

  static bool is_meta(std::string_view path) {
    return path.starts_with(kWhiteoutMetaPrefix) ||
           path.find("/.wh..wh.") != std::string_view::npos;
  }

  Result<> apply(const archive::TarEntry& entry) {
    const Attributes attributes = attributes_of(entry);
    const std::span<const Xattr> xattrs = xattrs_of(entry);
    switch (entry.type) {
      case archive::EntryType::File:
        return apply_file(entry, attributes, xattrs);
      case archive::EntryType::Directory:
        ++stats_.directories;
        return formatter_.make_directory(entry.path, attributes, xattrs);
      case archive::EntryType::Symlink:
        return formatter_.make_symlink(entry.path, entry.link, attributes, xattrs);
      case archive::EntryType::HardLink:
        return formatter_.make_hard_link(entry.path, entry.link);
      case archive::EntryType::CharacterDevice:
        return apply_node(entry, NodeType::CharacterDevice, attributes, xattrs);
      case archive::EntryType::BlockDevice:
        return apply_node(entry, NodeType::BlockDevice, attributes, xattrs);
      case archive::EntryType::Fifo:
        return apply_node(entry, NodeType::Fifo, attributes, xattrs);
      case archive::EntryType::Socket:
        return apply_node(entry, NodeType::Socket, attributes, xattrs);
    }
    return fail(ErrorCode::Internal, "entry {}: unknown type", quote(entry.path));
  }

  Result<> apply_node(const archive::TarEntry& entry, NodeType type, const Attributes& attributes,
                      std::span<const Xattr> xattrs) {
    return formatter_.make_node(entry.path, type, {entry.device_major, entry.device_minor},
                                attributes, xattrs);
  }

  Result<> apply_file(const archive::TarEntry& entry, const Attributes& attributes,
                      std::span<const Xattr> xattrs) {
    ++stats_.files;
    if (entry.size > options_.content_bytes - stats_.content_bytes) {
      return fail(ErrorCode::ResourceExhausted, "entry {}: more than {} bytes in one layer",
                  quote(entry.path), options_.content_bytes);
    }
    stats_.content_bytes += entry.size;
    BH_TRY(formatter_.begin_file(entry.path, attributes, xattrs));
    std::uint64_t at = 0;
    while (const auto piece = BH_TRY(tar_.next_data())) {
      if (piece->offset > at) {
        BH_TRY(formatter_.append_hole(piece->offset - at).context(quote(entry.path)));
      }
      BH_TRY(formatter_.append(piece->data).context(quote(entry.path)));
      at = piece->offset + piece->data.size();
    }
    if (entry.size > at) {
      BH_TRY(formatter_.append_hole(entry.size - at).context(quote(entry.path)));
    }
    return formatter_.end_file().context(quote(entry.path));
  }

  static Attributes attributes_of(const archive::TarEntry& entry) {
    Attributes attributes{.permissions = entry.permissions,
                          .uid = entry.uid,
                          .gid = entry.gid,
                          .modified = timestamp_of(entry.modified)};
    if (entry.accessed) {
      attributes.accessed = timestamp_of(*entry.accessed);
    }
    return attributes;
  }

  std::span<const Xattr> xattrs_of(const archive::TarEntry& entry) {
    xattrs_.clear();
    for (const archive::EntryXattr& xattr : entry.xattrs) {
      if (is_storable_xattr(xattr.name) && !is_overlay_mark(xattr.name)) {
        xattrs_.push_back({.name = xattr.name, .value = xattr.value});
      } else {
        ++stats_.dropped_xattrs;
      }
    }
    return xattrs_;
  }

  Formatter& formatter_;
  archive::TarReader& tar_;
  const LayerOptions& options_;
  LayerStats stats_;
  std::string path_;
  std::vector<Xattr> xattrs_;
};

}  // namespace

Result<LayerStats> apply_layer(Formatter& formatter, archive::Reader& tar_bytes,
                               const LayerOptions& options) {
  const auto tar = BH_TRY(archive::TarReader::create(tar_bytes, options.limits));
  return LayerImport(formatter, *tar, options).run();
}

}  // namespace bulkhead::ext4
