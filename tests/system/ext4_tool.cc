// What the oracle test and the benchmark drive: makes images with the ext4 library.
//
//   ext4_tool empty FILE BYTES [OPTION…]
//   ext4_tool scratch FILE BYTES
//   ext4_tool export FILE TAR
//   ext4_tool populate FILE BYTES [OPTION…] LAYER…      BYTES 0: as small as possible; layers may
//   be compressed
//   ext4_tool directory FILE BYTES [OPTION…] DIRECTORY
//
// Options are journal=BYTES, block-size=BYTES and growable=1.

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/directory_importer.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/ext4/tar_exporter.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ext4 {
namespace {

Result<std::uint64_t> number(const std::string& text) {
  if (const auto value = parse_decimal<std::uint64_t>(text)) {
    return *value;
  }
  return fail(ErrorCode::Invalid, "{}: not a number", quote(text));
}

/// Takes the options off the front of `rest`.
Result<FormatOptions> format_options(std::uint64_t bytes, std::span<const std::string>& rest) {
  FormatOptions options{.size_bytes = bytes};
  for (; !rest.empty(); rest = rest.subspan(1)) {
    const std::size_t equals = rest.front().find('=');
    const std::string name = rest.front().substr(0, equals);
    if (equals == std::string::npos) {
      break;
    }
    const std::uint64_t value = BH_TRY(number(rest.front().substr(equals + 1)));
    if (name == "journal") {
      options.journal_bytes = value;
    } else if (name == "block-size") {
      options.block_size = static_cast<std::uint32_t>(value);
    } else if (name == "growable") {
      options.can_grow_mounted = value != 0;
    } else {
      return fail(ErrorCode::Invalid, "{}: no option", quote(name));
    }
  }
  return options;
}

Result<FormatResult> populate(int fd, const FormatOptions& options,
                              std::span<const std::string> layers) {
  Formatter formatter = BH_TRY(Formatter::create(fd, options));
  for (const std::string& path : layers) {
    const os::UniqueFd layer = BH_TRY(os::open_file(path, O_RDONLY));
    archive::FdReader file(layer.get());
    const auto inflater = BH_TRY(archive::detect_inflater(file));
    BH_TRY(apply_layer(formatter, *inflater.reader).context(path));
  }
  return std::move(formatter).finish();
}

Result<FormatResult> populate_from_directory(int fd, const FormatOptions& options,
                                             const std::string& path) {
  Formatter formatter = BH_TRY(Formatter::create(fd, options));
  const os::UniqueFd directory = BH_TRY(os::open_file(path, O_RDONLY | O_DIRECTORY));
  BH_TRY(apply_directory(formatter, directory.get(), {.excluded = fd}));
  return std::move(formatter).finish();
}

Result<FormatResult> export_to(const std::string& image_path, const std::string& tar_path) {
  const os::UniqueFd file = BH_TRY(os::open_file(image_path, O_RDONLY));
  const os::FileSpace space = BH_TRY(os::file_space(file.get()));
  FileSource source(file.get(), space.size);
  Image image = BH_TRY(Image::open(source));
  const Inode root = BH_TRY(image.resolve(""));
  const os::UniqueFd tar = BH_TRY(os::open_file(tar_path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  archive::FdWriter writer(tar.get());
  const ExportResult result = BH_TRY(export_tar(image, root, "", writer));
  return FormatResult{.size_bytes = space.size,
                      .used_bytes = result.content_bytes,
                      .inodes = static_cast<std::uint32_t>(result.entries)};
}

Result<FormatResult> run(std::span<const std::string> arguments) {
  if (arguments.size() < 3) {
    return fail(ErrorCode::Invalid, "usage: empty|scratch|populate|directory|export FILE BYTES …");
  }
  if (arguments[0] == "export") {
    return export_to(arguments[1], arguments[2]);
  }
  const os::UniqueFd file = BH_TRY(os::open_file(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0644));
  const std::uint64_t bytes = BH_TRY(number(arguments[2]));
  if (arguments[0] == "scratch") {
    return format_scratch(file.get(), bytes);
  }
  std::span<const std::string> rest = arguments.subspan(3);
  const FormatOptions options = BH_TRY(format_options(bytes, rest));
  if (arguments[0] == "empty") {
    return format_empty(file.get(), options);
  }
  if (arguments[0] == "directory" && rest.size() == 1) {
    return populate_from_directory(file.get(), options, rest.front());
  }
  return populate(file.get(), options, rest);
}

}  // namespace
}  // namespace bulkhead::ext4

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto result = bulkhead::ext4::run(arguments);
  if (!result) {
    fmt::print(stderr, "ext4_tool: {}: {}\n", bulkhead::to_string(result.error().code()),
               result.error().message());
    return 1;
  }
  fmt::print("{} bytes, {} used, {} inodes\n", result->size_bytes, result->used_bytes,
             result->inodes);
  return 0;
}
