#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/read_ahead.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/disk_cli/commands.h"
#include "bulkhead/ext4/directory_importer.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::disk_cli {
namespace {

/// Removes a half-made image.
class Temporary {
 public:
  explicit Temporary(std::string path) : path_(std::move(path)) {}

  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  ~Temporary() {
    if (!path_.empty()) {
      static_cast<void>(os::remove_file(path_));
    }
  }

  Result<> rename_to(const std::string& path) {
    BH_TRY(os::rename_path(path_, path));
    path_.clear();
    return {};
  }

 private:
  std::string path_;
};

Result<ext4::Uuid> parse_uuid(std::string_view text) {
  const auto invalid = [&] {
    return fail(ErrorCode::Invalid, "UUID {}: not of the form 01234567-89ab-cdef-0123-456789abcdef",
                quote(text));
  };
  if (text.size() != 36) {
    return invalid();
  }
  ext4::Uuid uuid{};
  std::size_t at = 0;
  for (std::byte& byte : uuid) {
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (text[at++] != '-') {
        return invalid();
      }
    }
    std::uint8_t value = 0;
    const char* const begin = text.data() + at;
    if (const auto parsed = std::from_chars(begin, begin + 2, value, 16);
        parsed.ec != std::errc() || parsed.ptr != begin + 2) {
      return invalid();
    }
    byte = std::byte{value};
    at += 2;
  }
  return uuid;
}

Result<ext4::FormatOptions> format_options(const CreateOptions& options) {
  ext4::FormatOptions format;
  if (!options.size.empty()) {
    format.size_bytes = BH_TRY(parse_size(options.size));
  }
  if (!options.journal.empty()) {
    if (options.size.empty()) {
      return fail(ErrorCode::Invalid,
                  "disk create: a journal needs room: give a size too (--size 10g)");
    }
    format.journal_bytes = BH_TRY(parse_size(options.journal));
  }
  if (!options.journal_mode.empty()) {
    format.journal_mode = options.journal_mode == "data"        ? ext4::JournalMode::Data
                          : options.journal_mode == "writeback" ? ext4::JournalMode::Writeback
                                                                : ext4::JournalMode::Ordered;
  }
  if (options.growable && options.size.empty()) {
    return fail(ErrorCode::Invalid,
                "disk create: --growable without a size: give one too (--size 10g)");
  }
  format.can_grow_mounted = options.growable;
  if (!options.block_size.empty()) {
    const std::uint64_t bytes = BH_TRY(parse_size(options.block_size));
    if (bytes != 1024 && bytes != 2048 && bytes != 4096) {
      return fail(ErrorCode::Invalid, "disk create: --block-size {}: give 1k, 2k or 4k",
                  quote(options.block_size));
    }
    format.block_size = static_cast<std::uint32_t>(bytes);
  }
  if (!options.uuid.empty()) {
    format.uuid = BH_TRY(parse_uuid(options.uuid));
  }
  format.label = options.label;
  return format;
}

void warn_of_dropped(std::uint64_t xattrs) {
  if (xattrs > 0) {
    log::warning("{} extended attributes that ext4 does not have were left out", xattrs);
  }
}

Result<> populate_from_tar(ext4::Formatter& formatter, const std::string& from) {
  std::optional<os::UniqueFd> file;
  if (from != "-") {
    file = BH_TRY(os::open_file(from, O_RDONLY));
  }
  const auto reader =
      BH_TRY(archive::InterruptibleReader::create(file ? file->get() : STDIN_FILENO));
  const auto inflater = BH_TRY(archive::detect_inflater(*reader));
  archive::ReadAhead tar(*inflater.reader, [&] { reader->interrupt(); });
  const ext4::LayerStats stats =
      BH_TRY(ext4::apply_layer(formatter, tar, {.whiteouts = ext4::Whiteouts::Ignore}));
  warn_of_dropped(stats.dropped_xattrs);
  return {};
}

Result<> populate_from_directory(ext4::Formatter& formatter, const std::string& path, int image) {
  const os::UniqueFd directory = BH_TRY(os::open_file(path, O_RDONLY | O_DIRECTORY));
  const ext4::DirectoryStats stats =
      BH_TRY(ext4::apply_directory(formatter, directory.get(), {.excluded = image}));
  warn_of_dropped(stats.dropped_xattrs);
  if (stats.changed > 0) {
    log::warning("{} files were changed or removed while they were read", stats.changed);
  }
  return {};
}

Result<> populate(ext4::Formatter& formatter, const CreateOptions& options, int image) {
  if (!options.directory.empty()) {
    return populate_from_directory(formatter, options.directory, image)
        .context("disk create from " + quote(options.directory));
  }
  if (!options.from.empty()) {
    return populate_from_tar(formatter, options.from)
        .context("disk create from " + quote(options.from));
  }
  return {};
}

}  // namespace

Result<> create(const CreateOptions& options) {
  const ext4::FormatOptions format = BH_TRY(format_options(options));
  if (!options.force && os::path_exists(options.path)) {
    return fail(ErrorCode::AlreadyExists, "disk create: {} exists: remove it, or give --force",
                quote(options.path));
  }
  const std::string name = fmt::format("{}.{}.part", options.path, os::own_pid());
  const os::UniqueFd file = BH_TRY(os::open_file(name, O_RDWR | O_CREAT | O_EXCL, 0644));
  Temporary temporary(name);
  ext4::Formatter formatter = BH_TRY(ext4::Formatter::create(file.get(), format));
  BH_TRY(populate(formatter, options, file.get()));
  const ext4::FormatResult result = BH_TRY(std::move(formatter).finish());
  BH_TRY(temporary.rename_to(options.path));
  log::info("{}: {} of {} used, {} inodes", quote(options.path), format_size(result.used_bytes),
            format_size(result.size_bytes), result.inodes);
  return {};
}

}  // namespace bulkhead::disk_cli
