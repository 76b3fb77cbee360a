#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// Paths inside a container's root, whose symbolic links a stranger made. Nothing runs in it yet, so
// nothing changes under us; but links may point anywhere, be dangling or go round in circles.

namespace bulkhead::guest {

/// `path` as a relative path without symbolic links and "..", all resolved as if `root` were the
/// root directory; what does not exist is kept as it is named. "" is the root itself.
/// Errors: Invalid for a NUL character, ELOOP, ENOTDIR, ENAMETOOLONG.
Result<std::string> resolve_in_root(int root, std::string_view path);

enum class TargetKind : std::uint8_t { Directory, File };

/// An O_PATH descriptor of `path` in `root`; missing directories (0755) and the file itself (0644)
/// are made. A file may be anything but a directory.
/// Errors: those of resolve_in_root(); FailedPrecondition when it is of the other kind.
Result<os::UniqueFd> open_or_make_in_root(int root, const std::string& path, TargetKind kind);

}  // namespace bulkhead::guest
