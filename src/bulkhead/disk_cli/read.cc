#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/archive/output.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/disk_cli/commands.h"
#include "bulkhead/disk_cli/disk.h"
#include "bulkhead/ext4/checker.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/tar_exporter.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/program/run.h"

namespace bulkhead::disk_cli {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20U;

Result<ext4::FileReader> open_regular(Disk& disk, const std::string& path) {
  const ext4::Inode inode = BH_TRY(disk.image().resolve(path));
  if (inode.is_directory()) {
    return fail(ErrorCode::Invalid, "{}: a directory: use `bulkhead disk export DISK {} | tar -x`",
                quote(path), printable(path));
  }
  if (!inode.is_file()) {
    return fail(ErrorCode::Invalid, "{}: not a regular file", quote(path));
  }
  return disk.image().open_file(inode);
}

std::string mode_text(const ext4::Inode& inode) {
  constexpr std::string_view kTypes = "?pc?d?b?-?l?s???";
  std::string text(1, kTypes[inode.mode >> 12U]);
  constexpr std::string_view kBits = "rwxrwxrwx";
  for (std::size_t i = 0; i < kBits.size(); ++i) {
    text += (inode.mode >> (kBits.size() - 1 - i) & 1U) != 0 ? kBits[i] : '-';
  }
  const auto special = [&](std::uint16_t bit, std::size_t at, char with, char without) {
    if ((inode.mode & bit) != 0) {
      text[at] = text[at] == 'x' ? with : without;
    }
  };
  special(04000, 3, 's', 'S');
  special(02000, 6, 's', 'S');
  special(01000, 9, 't', 'T');
  return text;
}

Result<std::string> long_line(ext4::Image& image, const ext4::Inode& inode, std::string_view name) {
  // Nanoseconds in 64 bits end in 2262, ext4 in 2446.
  constexpr std::int64_t kLatest = 9'000'000'000;
  const WallTime time{std::chrono::seconds(std::min(inode.modified.seconds, kLatest))};
  const bool is_device = inode.device.major != 0 || inode.device.minor != 0;
  std::string line = fmt::format(
      "{} {:>5} {:>6} {:>6} {:>12} {} {}", mode_text(inode), inode.links, inode.uid, inode.gid,
      is_device ? fmt::format("{}, {}", inode.device.major, inode.device.minor)
                : fmt::format("{}", inode.size),
      format_rfc3339(time), printable(name));
  if (inode.is_symlink()) {
    line += " -> " + printable(BH_TRY(image.read_link(inode)));
  }
  return line + "\n";
}

/// Fills `to` with the parts of `file` that are not holes. Errors: Corrupt when they are more than
/// the image, which a small hostile one could fill the host's disk with.
Result<> copy_parts(ext4::FileReader& file, std::uint64_t image_bytes, int to) {
  std::vector<std::byte> buffer(kBuffer);
  for (std::uint64_t at = 0; at < file.size();) {
    const ext4::FilePart part = BH_TRY(file.part(at));
    const std::uint64_t end = at + part.length;
    if (!part.is_hole && part.length > image_bytes) {
      return fail(ErrorCode::Corrupt, "the file has more blocks than the image");
    }
    image_bytes -= part.is_hole ? 0 : part.length;
    while (!part.is_hole && at < end) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, end - at));
      std::ignore = BH_TRY(file.read(at, MutableBytes(buffer).first(size)));
      BH_TRY(os::pwrite_all(to, Bytes(buffer).first(size), at));
      at += size;
    }
    at = end;
  }
  return os::set_file_size(to, file.size());
}

/// The writable layer on a container's scratch disk. Nothing: its guest has not come to make one.
Result<std::optional<ext4::Inode>> upper_of(Disk& scratch) {
  auto upper = scratch.image().resolve("upper", ext4::LastLink::Keep);
  if (!upper) {
    return upper.error().code() == ErrorCode::NotFound ? Result<std::optional<ext4::Inode>>()
                                                       : upper.error();
  }
  return *std::move(upper);
}

}  // namespace

Result<> list(const std::string& path_of_disk, const std::string& path, ListForm form) {
  Disk disk = BH_TRY(Disk::open(path_of_disk));
  ext4::Image& image = disk.image();
  const ext4::Inode top = BH_TRY(disk.image().resolve(path));
  std::vector<ext4::NamedEntry> entries = {{.name = path, .inode = top.number}};
  if (top.is_directory()) {
    entries = BH_TRY(image.list(top));
  }
  std::string text;
  for (const ext4::NamedEntry& entry : entries) {
    if (form == ListForm::Names) {
      text += printable(entry.name) + "\n";
      continue;
    }
    const ext4::Inode inode = BH_TRY(image.inode(entry.inode));
    text += BH_TRY(long_line(image, inode, entry.name));
  }
  return program::print(text);
}

Result<> cat(const std::string& path_of_disk, const std::string& path) {
  Disk disk = BH_TRY(Disk::open(path_of_disk));
  ext4::FileReader file = BH_TRY(open_regular(disk, path));
  std::vector<std::byte> buffer(kBuffer);
  for (std::uint64_t at = 0; at < file.size();) {
    const std::size_t size = BH_TRY(file.read(at, buffer));
    BH_TRY(program::print(as_text(Bytes(buffer).first(size))));
    at += size;
  }
  return {};
}

Result<> copy_out(const std::string& path_of_disk, const std::string& path, const std::string& to) {
  Disk disk = BH_TRY(Disk::open(path_of_disk));
  ext4::FileReader file = BH_TRY(open_regular(disk, path));
  std::string target = to;
  if (const auto info = os::file_info(to); info && info->is_directory()) {
    target += "/" + path.substr(path.find_last_of('/') + 1);
  }
  // What is there may be a link or a pipe that somebody laid out: it is not followed or filled.
  const auto opened =
      os::open_file(target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (!opened) {
    return Error(opened.error()).context("disk cp");
  }
  const os::FileInfo info = BH_TRY(os::file_info(opened->get()));
  if (!info.is_regular()) {
    return fail(ErrorCode::Invalid, "disk cp: {}: not a regular file; use `bulkhead disk cat`",
                quote(target));
  }
  const ext4::Layout& layout = disk.image().layout();
  return copy_parts(file, layout.blocks * layout.block_size, opened->get()).about(target);
}

Result<> export_tar(const ExportOptions& options) {
  if (options.to == "-" && os::is_terminal(STDOUT_FILENO)) {
    return fail(ErrorCode::Invalid,
                "export: standard output is a terminal: give --output FILE, or a pipe");
  }
  Disk disk = BH_TRY(Disk::open(options.disk));
  std::optional<Disk> scratch;
  std::optional<ext4::Inode> upper;
  if (!options.scratch.empty()) {
    scratch = BH_TRY(Disk::open(options.scratch, DirtyDisk::IsUsual));
    upper = BH_TRY(upper_of(*scratch));
  }
  const ext4::Inode top = BH_TRY(disk.image().resolve(options.path));
  const std::string name = options.path.substr(options.path.find_last_of('/') + 1);
  ext4::ExportResult result;
  const auto write = [&](archive::Writer& to) -> Result<> {
    result = BH_TRY(upper ? ext4::export_overlay(scratch->image(), *upper, disk.image(), to)
                          : ext4::export_tar(disk.image(), top, name, to));
    return {};
  };
  BH_TRY(archive::write_output(options.to, write).context("export"));
  if (result.sockets > 0) {
    log::warning("{} sockets were left out: tar has none", result.sockets);
  }
  return {};
}

Result<> check(const std::string& path) {
  Disk disk = BH_TRY(Disk::open(path));
  auto result = ext4::check_image(disk.image());
  if (!result) {
    return std::move(result).error().about(path);
  }
  const ext4::Layout& layout = disk.image().layout();
  return program::print(fmt::format(
      "{}: {} entries, {} of contents, {} blocks of {} bytes: nothing wrong\n", printable(path),
      result->entries, format_size(result->content_bytes), layout.blocks, layout.block_size));
}

}  // namespace bulkhead::disk_cli
