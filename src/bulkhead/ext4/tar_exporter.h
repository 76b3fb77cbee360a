#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader.h"

namespace bulkhead::ext4 {

struct ExportResult {
  std::uint64_t entries = 0;
  std::uint64_t content_bytes = 0;  ///< holes left out
  std::uint64_t sockets = 0;        ///< left out: tar has none
};

/// Writes what is at and below `top` as one tar stream, in order of names: attributes, owners,
/// nanoseconds, extended attributes, devices, hard links (to the first name of a file) and holes.
/// Paths are relative to `top`; when it is not a directory, its name is `name`.
///
/// Memory: the names of the directories on the way to the present one, the extents of one file, the
/// names of files with more than one link. Errors: Corrupt too for a directory that is in two
/// places, and files that have more blocks together than the image; Unsupported for paths of more
/// than 65535 bytes; what `to` returns.
Result<ExportResult> export_tar(Image& image, const Inode& top, std::string_view name,
                                archive::Writer& to);

/// The same of what overlayfs shows where the directory `upper_top` lies over the root of `lower`:
/// whiteouts (character devices 0:0) hide, directories are merged unless opaque, and what overlayfs
/// remembers in trusted.overlay.* is left out. A file that is copied up has lost its other names,
/// as it has for the kernel (index=off).
///
/// Memory: as above, for both. Errors: as above; Unsupported for files whose content is in another
/// place (the features redirect_dir and metacopy).
Result<ExportResult> export_overlay(Image& upper, const Inode& upper_top, Image& lower,
                                    archive::Writer& to);

}  // namespace bulkhead::ext4
