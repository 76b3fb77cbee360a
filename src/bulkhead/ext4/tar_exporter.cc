#include "bulkhead/ext4/tar_exporter.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
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

class Exporter {
 public:
  Exporter(Image& image, archive::Writer& to)
      : image_(image),
        tar_(to),
        blocks_left_(image.layout().blocks),
        is_seen_(std::size_t{image.layout().inodes} + 1),
        buffer_(kBuffer) {}

  Result<ExportResult> run(const Inode& top, std::string_view name) {
    path_ = top.is_directory() ? std::string_view() : name;
    BH_TRY(add(top));
    while (!stack_.empty()) {
      BH_TRY(step());
    }
    BH_TRY(tar_.finish());
    return result_;
  }

 private:
  /// A directory whose entries are being written.
  struct Frame {
    std::vector<NamedEntry> entries;
    std::size_t next = 0;
    std::size_t path_size = 0;
  };

  Result<> step();
  Result<> add(const Inode& inode);
  Result<> enter(const Inode& directory);
  Result<> add_file(const Inode& inode, archive::TarEntry& entry);
  Result<std::vector<archive::DataRange>> ranges_of(FileReader& file);
  Result<> spend(std::uint64_t blocks);

  Image& image_;
  archive::TarWriter tar_;
  std::uint64_t
      blocks_left_;  ///< a block is in one file only, so all files have no more than these
  std::vector<bool> is_seen_;                         ///< directories by inode
  std::map<std::uint32_t, std::string> first_names_;  ///< of files with more links
  std::vector<std::byte> buffer_;
  std::vector<Frame> stack_;
  std::string path_;
  ExportResult result_;
};

Result<> Exporter::spend(std::uint64_t blocks) {
  if (blocks > blocks_left_) {
    return fail(ErrorCode::Corrupt, "{}: the files have more blocks than the image", quote(path_));
  }
  blocks_left_ -= blocks;
  return {};
}

Result<> Exporter::step() {
  Frame& frame = stack_.back();
  path_.resize(frame.path_size);
  if (frame.next == frame.entries.size()) {
    stack_.pop_back();
    return {};
  }
  const NamedEntry& entry = frame.entries[frame.next++];
  if (!path_.empty()) {
    path_ += '/';
  }
  path_ += entry.name;
  if (path_.size() > kMaxPath) {
    return fail(ErrorCode::Unsupported, "{}: a path of more than {} bytes", quote(path_), kMaxPath);
  }
  auto inode = image_.inode(entry.inode);
  if (!inode) {
    return std::move(inode).error().about(path_);
  }
  return add(*inode).about(path_);
}

Result<> Exporter::enter(const Inode& directory) {
  if (is_seen_[directory.number]) {
    return fail(ErrorCode::Corrupt, "inode {}: a directory in two places", directory.number);
  }
  is_seen_[directory.number] = true;
  BH_TRY(spend(directory.size / image_.layout().block_size));
  Frame frame{.entries = {}, .next = 0, .path_size = path_.size()};
  frame.entries = BH_TRY(image_.list(directory));
  stack_.push_back(std::move(frame));
  return {};
}

Result<> Exporter::add(const Inode& inode) {
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
    const auto [first, is_new] = first_names_.try_emplace(inode.number, path_);
    if (!is_new) {
      entry.type = archive::EntryType::HardLink;
      entry.link = first->second;
      return tar_.add(entry);
    }
  }
  const std::vector<XattrValue> xattrs = BH_TRY(image_.xattrs(inode));
  for (const XattrValue& xattr : xattrs) {
    entry.xattrs.push_back({.name = xattr.name, .value = xattr.value});
  }
  if (inode.is_file()) {
    return add_file(inode, entry);
  }
  std::string target;
  if (inode.is_symlink()) {
    target = BH_TRY(image_.read_link(inode));
    entry.link = target;
  }
  BH_TRY(tar_.add(entry));
  return inode.is_directory() ? enter(inode) : Result<>();
}

/// The parts of a file that are not holes.
Result<std::vector<archive::DataRange>> Exporter::ranges_of(FileReader& file) {
  std::vector<archive::DataRange> ranges;
  const std::uint64_t block_size = image_.layout().block_size;
  std::uint64_t leaves = 0;
  for (std::uint64_t at = 0; at < file.size();) {
    const FilePart part = BH_TRY(file.part(at));
    BH_TRY(spend(file.leaves() - leaves));
    leaves = file.leaves();
    if (!part.is_hole) {
      BH_TRY(spend(part.length / block_size));
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

Result<> Exporter::add_file(const Inode& inode, archive::TarEntry& entry) {
  FileReader file = BH_TRY(image_.open_file(inode));
  entry.size = file.size();
  const std::vector<archive::DataRange> ranges = BH_TRY(ranges_of(file));
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

}  // namespace bulkhead::ext4
