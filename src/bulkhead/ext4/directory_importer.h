#pragma once

#include <cstddef>
#include <cstdint>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"

namespace bulkhead::ext4 {

struct DirectoryOptions {
  /// Of file contents, holes not counted: ResourceExhausted beyond.
  std::uint64_t content_bytes = std::uint64_t{256} << 30U;
  /// A file that is left out wherever it turns up: the image that is being made. Borrowed; -1:
  /// none.
  int excluded = -1;
};

struct DirectoryStats {
  std::uint64_t entries = 0;  ///< without the directory itself
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t content_bytes = 0;  ///< that were not holes
  /// Attributes left out, by the rules of apply_layer().
  std::uint64_t dropped_xattrs = 0;
  /// Entries that others changed meanwhile: gone (left out), or a file whose size or time is not
  /// what it was (its size is as first seen, what was missing is zeros).
  std::uint64_t changed = 0;
};

/// Copies a directory, borrowed, and everything below it into the image's root, in order of names,
/// so that the same tree makes the same image. Symbolic links are copied and never followed, mounts
/// are entered, hard links stay links, holes stay holes. Of times only that of the last change is
/// taken: reading changes the others. Memory: the names of the directories on the way, and a path
/// for each file with several names. Errors: PermissionDenied and Io of reading, naming the path;
/// Unsupported for a path of more than 4095 bytes; FailedPrecondition for a directory that was
/// replaced meanwhile; those of Formatter. The image is not usable then.
Result<DirectoryStats> apply_directory(Formatter& formatter, int directory,
                                       const DirectoryOptions& options = {});

}  // namespace bulkhead::ext4
