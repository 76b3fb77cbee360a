#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// Mounts as descriptors: fsopen(2), open_tree(2), mount_setattr(2), move_mount(2). Linux 5.12 and
// later; Unsupported before.

namespace bulkhead::os {

/// A copy of the mount at `path`, attached nowhere: of that file or directory, and with
/// `is_recursive` of what is mounted below it.
Result<UniqueFd> clone_mount(const std::string& path, bool is_recursive = false);

/// A new file system of a kind that needs no device, attached nowhere. Options such as
/// {"size", "64k"}.
Result<UniqueFd> make_file_system(const std::string& type,
                                  const std::vector<std::pair<std::string, std::string>>& options);

struct MountFlags {
  bool read_only = false;
  bool no_exec = false;
  bool no_devices = false;
  bool is_recursive = false;  ///< also of the mounts below it
};

/// Sets the flags named and nosuid, clears none; nothing propagates to it or from it.
Result<> restrict_mount(int mount, MountFlags flags);

/// Owners of files in a detached mount are seen as that user namespace maps them.
/// Errors: Invalid for a file system that cannot (EINVAL). Source: mount_setattr(2), "ID-mapped
/// mounts".
Result<> map_mount_ids(int mount, int user_namespace, bool is_recursive);

Result<> attach_mount(int mount, const std::string& path);

/// Makes a detached mount the root of this mount namespace and the working directory of this
/// process, and detaches everything that was there before, also when this process was in a chroot.
Result<> replace_root(int mount);

/// Makes a device node with exactly this mode and owner.
Result<> make_character_device(const std::string& path, mode_t mode, dev_t device, uid_t owner);

}  // namespace bulkhead::os
