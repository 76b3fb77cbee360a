#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// Mounts, by path where the path is ours and by descriptor where it is a stranger's.

namespace bulkhead::os {

struct MountRequest {
  std::string source;
  std::string target;
  std::string type;
  unsigned long flags = 0;  ///< MS_*
  std::string data;
};

/// Source: mount(2).
Result<> mount(const MountRequest& request);

/// `flags`: MNT_DETACH and the like. One that is not mounted is fine.
Result<> unmount(const std::string& target, int flags = 0);

/// A detached copy of the mount or file at `fd` (an O_PATH descriptor will do); it goes away with
/// its descriptor unless it is attached. `recursive` takes the mounts below it too.
/// Source: open_tree(2), OPEN_TREE_CLONE.
enum class TreeDepth : std::uint8_t { One, Recursive };
Result<UniqueFd> clone_tree(int fd, TreeDepth depth = TreeDepth::One);

/// Attaches a detached mount on top of what `target` is open on, without walking a path.
/// Source: move_mount(2).
Result<> attach_mount(int mount, int target);

/// Sets MOUNT_ATTR_* bits of a mount, and of those below it. Source: mount_setattr(2).
Result<> set_mount_attributes(int mount, std::uint64_t attributes, TreeDepth depth);

/// The current directory becomes the root of this mount namespace and of this process; the old root
/// is detached. Source: pivot_root(2), "pivot_root(".", ".")".
Result<> pivot_to_current_directory();

/// The current directory covers "/" and becomes this process's root. What switch_root does.
Result<> move_current_directory_to_root();

Result<> change_directory(const std::string& path);
Result<> change_directory(int directory);

/// Where this process is, as the kernel says it: begins with "(unreachable)" outside the root.
Result<std::string> current_directory();

Result<> make_directory_at(int directory, const std::string& name, mode_t mode);
Result<> make_node_at(int directory, const std::string& name, mode_t mode, dev_t device);
Result<> make_symlink_at(int directory, const std::string& name, const std::string& target);

/// The target of a symbolic link `name` in `directory`. Errors: Invalid (EINVAL) when it is none.
Result<std::string> read_link_at(int directory, const std::string& name);

/// The file system's magic number. Source: fstatfs(2).
Result<std::uint64_t> file_system_type(int fd);

/// Whether this process, with the ids it has now, may execute `path`. Errors: as access(2).
Result<> check_executable(const std::string& path);

Result<> change_owner(int fd, uid_t owner);

void set_umask(mode_t mask);

}  // namespace bulkhead::os
