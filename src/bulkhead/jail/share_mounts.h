#pragma once

#include <cstdint>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/jail/jail.h"
#include "bulkhead/os/unique_fd.h"

// What a jail with shares has besides, made by its helper (helper_main.cc).

namespace bulkhead::jail {

/// Where the inmate finds /proc/self/fd: by it, file servers change files that they hold open.
inline constexpr const char* kProcessFiles = "/proc";

struct ClonedShare {
  const Share* share;
  os::UniqueFd mount;  ///< attached nowhere
  bool is_directory;
};

/// Copies of the shares' mounts, while the host is in view. They refer to `shares`.
/// Errors: NotFound and so on, naming the share.
Result<std::vector<ClonedShare>> clone_shares(const std::vector<Share>& shares);

/// Restricts them, lets the inmate's user namespace see their owners, and puts them where there is
/// a directory or file for each. `namespaces`: the inmate's /proc/PID/ns. Errors: Unsupported where
/// a file system cannot be mapped to other users.
Result<> attach_shares(const std::vector<ClonedShare>& shares, int namespaces);

/// Puts a read-only procfs at kProcessFiles that has the inmate's processes and nothing else of the
/// kernel. `namespaces`: the inmate's /proc/PID/ns.
Result<> attach_process_files(int namespaces);

/// What the inmate may do for the owners of files in its shares, as bits.
std::uint64_t capabilities_over(const std::vector<Share>& shares);

}  // namespace bulkhead::jail
