#include "bulkhead/ext4/directory_importer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/xattr.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/tree_entry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20U;
constexpr std::size_t kMaxPath = 4095;

using FileId = std::pair<dev_t, ino_t>;

FileId id_of(const os::FileInfo& info) { return {info.device, info.inode}; }

class DirectoryImport {
 public:
  DirectoryImport(Formatter& formatter, int root, const DirectoryOptions& options)
      : formatter_(formatter), root_(root), options_(options), buffer_(kBuffer) {}

  Result<DirectoryStats> run() {
    if (options_.excluded >= 0) {
      excluded_ = id_of(BH_TRY(os::file_info(options_.excluded)));
    }
    const os::FileInfo info = BH_TRY(os::file_info(root_));
    BH_TRY(make_directory("", root_, info));
    waiting_.push_back({.path = "", .id = id_of(info)});
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      BH_TRY(read_directory(next).about(next.path));
    }
    return stats_;
  }

 private:
  /// A directory that is in the image and whose entries are not yet.
  struct Waiting {
    std::string path;
    FileId id;
  };

  /// One descriptor at a time is open for directories, however deep they are.
  Result<> read_directory(const Waiting& directory);
  Result<> add(int parent, const std::string& path, const std::string& name);
  Result<> add_file(int entry, const std::string& path, const os::FileInfo& info);
  Result<> copy_content(int file, std::uint64_t size);
  Result<> copy_data(int file, std::uint64_t offset, std::uint64_t end);
  Result<> make_directory(const std::string& path, int entry, const os::FileInfo& info);
  Result<> make_node(const std::string& path, int entry, const os::FileInfo& info);
  Result<std::span<const Xattr>> xattrs_of(int entry);

  static Attributes attributes_of(const os::FileInfo& info) {
    return {
        .permissions = static_cast<std::uint16_t>(info.mode & 07777U),
        .uid = info.uid,
        .gid = info.gid,
        .modified = {.seconds = info.modified.seconds, .nanoseconds = info.modified.nanoseconds}};
  }

  Formatter& formatter_;
  int root_;
  const DirectoryOptions& options_;
  std::optional<FileId> excluded_;
  DirectoryStats stats_;
  std::vector<Waiting> waiting_;
  std::map<FileId, std::string> first_names_;  ///< of files with more links
  std::vector<os::ExtendedAttribute> attributes_;
  std::vector<Xattr> xattrs_;
  std::vector<std::byte> buffer_;
};

Result<> DirectoryImport::read_directory(const Waiting& directory) {
  auto opened = os::open_beneath(root_, directory.path.empty() ? "." : directory.path,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!opened && opened.error().code() == ErrorCode::NotFound) {
    ++stats_.changed;
    return {};
  }
  const os::UniqueFd fd = BH_TRY(std::move(opened));
  if (id_of(BH_TRY(os::file_info(fd.get()))) != directory.id) {
    return fail(ErrorCode::FailedPrecondition, "was replaced while it was read");
  }
  const std::vector<std::string> names =
      BH_TRY(os::list_directory(fmt::format("/proc/self/fd/{}", fd.get())));
  const std::size_t first = waiting_.size();
  for (const std::string& name : names) {
    const std::string path = directory.path.empty() ? name : directory.path + "/" + name;
    if (path.size() > kMaxPath) {
      return fail(ErrorCode::Unsupported, "{}: a path of more than {} bytes", quote(name),
                  kMaxPath);
    }
    BH_TRY(add(fd.get(), path, name).about(path));
  }
  // The first name comes next.
  std::reverse(waiting_.begin() + static_cast<std::ptrdiff_t>(first), waiting_.end());
  return {};
}

Result<> DirectoryImport::add(int parent, const std::string& path, const std::string& name) {
  auto entry = os::open_entry(parent, name);
  if (!entry && entry.error().code() == ErrorCode::NotFound) {
    ++stats_.changed;
    return {};
  }
  const os::UniqueFd fd = BH_TRY(std::move(entry));
  const os::FileInfo info = BH_TRY(os::file_info(fd.get()));
  if (excluded_ == id_of(info)) {
    return {};
  }
  ++stats_.entries;
  if (info.type() == S_IFDIR) {
    BH_TRY(make_directory(path, fd.get(), info));
    waiting_.push_back({.path = path, .id = id_of(info)});
    return {};
  }
  if (info.links > 1) {
    const auto [first, is_new] = first_names_.try_emplace(id_of(info), path);
    if (!is_new) {
      return formatter_.make_hard_link(path, first->second);
    }
  }
  return info.type() == S_IFREG ? add_file(fd.get(), path, info) : make_node(path, fd.get(), info);
}

Result<> DirectoryImport::make_directory(const std::string& path, int entry,
                                         const os::FileInfo& info) {
  if (info.type() != S_IFDIR) {
    return fail(ErrorCode::Invalid, "not a directory");
  }
  ++stats_.directories;
  return formatter_.make_directory(path, attributes_of(info), BH_TRY(xattrs_of(entry)));
}

Result<> DirectoryImport::make_node(const std::string& path, int entry, const os::FileInfo& info) {
  const Attributes attributes = attributes_of(info);
  const std::span<const Xattr> xattrs = BH_TRY(xattrs_of(entry));
  const DeviceNumber number{.major = major(info.special), .minor = minor(info.special)};
  switch (info.type()) {
    case S_IFLNK:
      return formatter_.make_symlink(path, BH_TRY(os::link_target(entry)), attributes, xattrs);
    case S_IFCHR:
      return formatter_.make_node(path, NodeType::CharacterDevice, number, attributes, xattrs);
    case S_IFBLK:
      return formatter_.make_node(path, NodeType::BlockDevice, number, attributes, xattrs);
    case S_IFIFO:
      return formatter_.make_node(path, NodeType::Fifo, {}, attributes, xattrs);
    case S_IFSOCK:
      return formatter_.make_node(path, NodeType::Socket, {}, attributes, xattrs);
    default:
      return fail(ErrorCode::Unsupported, "a file of type {:o}", info.type());
  }
}

Result<> DirectoryImport::add_file(int entry, const std::string& path, const os::FileInfo& info) {
  ++stats_.files;
  BH_TRY(formatter_.begin_file(path, attributes_of(info), BH_TRY(xattrs_of(entry))));
  if (info.size > 0) {
    const os::UniqueFd file = BH_TRY(os::read_entry(entry));
    BH_TRY(copy_content(file.get(), info.size));
    const os::FileInfo now = BH_TRY(os::file_info(file.get()));
    if (now.size != info.size || now.modified != info.modified) {
      ++stats_.changed;
    }
  }
  return formatter_.end_file();
}

Result<> DirectoryImport::copy_content(int file, std::uint64_t size) {
  std::uint64_t at = 0;
  while (at < size) {
    const auto data = BH_TRY(os::next_data(file, at));
    const std::uint64_t begin = data ? std::min(data->offset, size) : size;
    const std::uint64_t end = data ? std::min(data->offset + data->length, size) : size;
    if (begin > at) {
      BH_TRY(formatter_.append_hole(begin - at));
    }
    BH_TRY(copy_data(file, begin, end));
    at = end;
  }
  return {};
}

Result<> DirectoryImport::copy_data(int file, std::uint64_t offset, std::uint64_t end) {
  if (end - offset > options_.content_bytes - stats_.content_bytes) {
    return fail(ErrorCode::ResourceExhausted, "more than {} bytes in one tree",
                options_.content_bytes);
  }
  stats_.content_bytes += end - offset;
  while (offset < end) {
    const MutableBytes piece = MutableBytes(buffer_).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), end - offset)));
    const std::size_t size = BH_TRY(os::pread_some(file, piece, offset));
    if (size == 0) {
      // It became shorter.
      return formatter_.append_hole(end - offset);
    }
    BH_TRY(formatter_.append(piece.first(size)));
    offset += size;
  }
  return {};
}

Result<std::span<const Xattr>> DirectoryImport::xattrs_of(int entry) {
  attributes_ = BH_TRY(os::extended_attributes(entry));
  xattrs_.clear();
  for (const os::ExtendedAttribute& attribute : attributes_) {
    if (is_storable_xattr(attribute.name) && !is_overlay_mark(attribute.name)) {
      xattrs_.push_back({.name = attribute.name, .value = attribute.value});
    } else {
      ++stats_.dropped_xattrs;
    }
  }
  return std::span<const Xattr>(xattrs_);
}

}  // namespace

Result<DirectoryStats> apply_directory(Formatter& formatter, int directory,
                                       const DirectoryOptions& options) {
  return DirectoryImport(formatter, directory, options).run();
}

}  // namespace bulkhead::ext4
