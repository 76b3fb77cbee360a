#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

// One function for each command of bulkhead-disk. What people asked for goes to standard output,
// remarks to standard error. Errors name the file and, where it is a matter of the command, what to
// do instead.

namespace bulkhead::disk_cli {

struct CreateOptions {
  std::string path;
  std::string size;  ///< empty: as small as its content allows
  std::string from;  ///< a tar stream in any compression, "-" for standard input; empty: nothing
  std::string directory;  ///< whose tree is copied; empty: none
  std::string label;
  std::string uuid;     ///< empty: made from the content
  std::string journal;  ///< its size; empty: none
  std::string journal_mode;
  std::string block_size;  ///< empty: 4096
  bool growable = false;   ///< the kernel can enlarge it while it is mounted
  bool force = false;      ///< over what is there
};

/// Makes an image beside its name and renames it when it is whole.
Result<> create(const CreateOptions& options);

enum class ListForm : std::uint8_t { Names, Long };

Result<> list(const std::string& disk, const std::string& path, ListForm form);

/// Writes the content of one file to standard output.
Result<> cat(const std::string& disk, const std::string& path);

/// Copies one file out, sparse. `to` may be a directory.
Result<> copy_out(const std::string& disk, const std::string& path, const std::string& to);

struct ExportOptions {
  std::string disk;
  std::string path;
  std::string scratch;  ///< the disk that a container with `disk` as root wrote to; empty: none
  std::string to;       ///< a file, or "-" for standard output
};

/// Writes a tar of what is at and below `path`; or of the whole disk as a container saw it whose
/// scratch disk is given.
Result<> export_tar(const ExportOptions& options);

Result<> check(const std::string& disk);

}  // namespace bulkhead::disk_cli
