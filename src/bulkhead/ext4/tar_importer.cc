#include "bulkhead/ext4/tar_importer.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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
#include "bulkhead/ext4/layer_entry.h"
#include "bulkhead/ext4/layer_record.h"
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

Timestamp timestamp_of(const archive::EntryTime& time) {
  return {.seconds = time.seconds, .nanoseconds = time.nanoseconds};
}

LayerAction action_of(archive::EntryType type) {
  switch (type) {
    case archive::EntryType::File:
      return LayerAction::File;
    case archive::EntryType::Directory:
      return LayerAction::Directory;
    case archive::EntryType::Symlink:
      return LayerAction::Symlink;
    case archive::EntryType::HardLink:
      return LayerAction::HardLink;
    case archive::EntryType::CharacterDevice:
      return LayerAction::CharacterDevice;
    case archive::EntryType::BlockDevice:
      return LayerAction::BlockDevice;
    case archive::EntryType::Fifo:
      return LayerAction::Fifo;
    case archive::EntryType::Socket:
      return LayerAction::Socket;
  }
  return LayerAction::Fifo;
}

/// One layer on its way into an image.
class LayerImport {
 public:
  LayerImport(Formatter& formatter, archive::TarReader& tar, const LayerOptions& options)
      : formatter_(formatter), tar_(tar), options_(options) {}

  Result<LayerStats> run() {
    formatter_.begin_layer();
    while (const archive::TarEntry* member = BH_TRY(tar_.next())) {
      ++stats_.entries;
      std::optional<LayerEntry> entry;
      if (options_.whiteouts == Whiteouts::Ignore || !is_mark(member->path)) {
        entry = entry_of(*member);
      } else {
        entry = BH_TRY(whiteout_of(member->path));
      }
      if (entry) {
        BH_TRY(apply(*entry));
      }
    }
    BH_TRY(tar_.drain());
    return stats_;
  }

 private:
  /// Whether it is no part of the tree: a whiteout, or a leftover of aufs.
  static bool is_mark(std::string_view path) {
    return split_path(path).name.starts_with(kWhiteoutPrefix) || is_meta(path);
  }

  static bool is_meta(std::string_view path) {
    return path.starts_with(kWhiteoutMetaPrefix) ||
           path.find("/.wh..wh.") != std::string_view::npos;
  }

  /// Nothing for a leftover.
  Result<std::optional<LayerEntry>> whiteout_of(std::string_view member) {
    const auto [parent, name] = split_path(member);
    if (name == kOpaqueName) {
      ++stats_.whiteouts;
      return LayerEntry{.action = LayerAction::WhiteOutChildren, .path = parent};
    }
    if (is_meta(member)) {
      return std::nullopt;
    }
    const std::string_view victim = name.substr(kWhiteoutPrefix.size());
    if (victim.empty() || victim == "." || victim == "..") {
      return fail(ErrorCode::Invalid, "entry {}: a whiteout of nothing", quote(member));
    }
    ++stats_.whiteouts;
    path_ = parent;
    path_ += '/';
    path_ += victim;
    return LayerEntry{.action = LayerAction::WhiteOut, .path = path_};
  }

  LayerEntry entry_of(const archive::TarEntry& member) {
    return {.action = action_of(member.type),
            .path = member.path,
            .link = member.link,
            .attributes = attributes_of(member),
            .device = {member.device_major, member.device_minor},
            .size = member.size,
            .xattrs = xattrs_of(member)};
  }

  Result<> apply(const LayerEntry& entry) {
    if (entry.action == LayerAction::Directory) {
      ++stats_.directories;
    }
    if (entry.action == LayerAction::File) {
      ++stats_.files;
      if (entry.size > options_.content_bytes - stats_.content_bytes) {
        return fail(ErrorCode::ResourceExhausted, "entry {}: more than {} bytes in one layer",
                    quote(entry.path), options_.content_bytes);
      }
      stats_.content_bytes += entry.size;
    }
    BH_TRY(apply_entry(formatter_, entry));
    if (options_.recorder != nullptr) {
      BH_TRY(options_.recorder->add(entry));
    }
    return entry.action == LayerAction::File ? write_content(entry) : Result<>();
  }

  Result<> write_content(const LayerEntry& entry) {
    std::uint64_t at = 0;
    while (const auto piece = BH_TRY(tar_.next_data())) {
      if (piece->offset > at) {
        BH_TRY(formatter_.append_hole(piece->offset - at).about(entry.path));
      }
      BH_TRY(formatter_.append(piece->data).about(entry.path));
      at = piece->offset + piece->data.size();
    }
    if (entry.size > at) {
      BH_TRY(formatter_.append_hole(entry.size - at).about(entry.path));
    }
    BH_TRY(formatter_.end_file().about(entry.path));
    return options_.recorder != nullptr ? options_.recorder->add_content(formatter_.content())
                                        : Result<>();
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
