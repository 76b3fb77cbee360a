#include "bulkhead/os/mount_tree.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// linux/mount.h and sys/mount.h of glibc 2.36 define the same names; these two are in the second.
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags,
                     const void* data) noexcept;
extern "C" int umount2(const char* target, int flags) noexcept;

namespace bulkhead::os {
namespace {

constexpr unsigned long kRecursive = 0x4000;    // MS_REC
constexpr unsigned long kPrivate = 1UL << 18U;  // MS_PRIVATE
constexpr int kDetach = 2;                      // MNT_DETACH

Result<UniqueFd> descriptor(long result, const std::string& what) {
  if (result < 0) {
    return Error::from_errno(what);
  }
  return UniqueFd(static_cast<int>(result));
}

}  // namespace

Result<> unshare_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) {
    return Error::from_errno("unshare mount namespace");
  }
  if (::mount(nullptr, "/", nullptr, kRecursive | kPrivate, nullptr) != 0) {
    return Error::from_errno("make mounts private");
  }
  return {};
}

Result<UniqueFd> clone_mount(const std::string& path) {
  return descriptor(
      ::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), path);
}

Result<UniqueFd> make_tmpfs(const std::vector<std::pair<std::string, std::string>>& options) {
  const UniqueFd context =
      BH_TRY(descriptor(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen tmpfs"));
  for (const auto& [key, value] : options) {
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(),
                  0) != 0) {
      return Error::from_errno("tmpfs option " + key);
    }
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Error::from_errno("make tmpfs");
  }
  return descriptor(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0), "mount tmpfs");
}

Result<> restrict_mount(int mount, MountFlags flags) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID;
  attributes.attr_set |= flags.read_only ? std::uint64_t{MOUNT_ATTR_RDONLY} : 0;
  attributes.attr_set |= flags.no_exec ? std::uint64_t{MOUNT_ATTR_NOEXEC} : 0;
  attributes.attr_set |= flags.no_devices ? std::uint64_t{MOUNT_ATTR_NODEV} : 0;
  if (::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return Error::from_errno("mount_setattr");
  }
  return {};
}

Result<> attach_mount(int mount, const std::string& path) {
  if (::syscall(SYS_move_mount, mount, "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return Error::from_errno("mount on " + path);
  }
  return {};
}

Result<> replace_root(int mount) {
  // It is stacked on the root for a moment, so that no directory of the host is needed for it.
  BH_TRY(attach_mount(mount, "/"));
  if (::fchdir(mount) != 0) {
    return Error::from_errno("chdir to the new root");
  }
  if (::syscall(SYS_pivot_root, ".", ".") != 0) {
    return Error::from_errno("pivot_root");
  }
  // The old root now lies on the new one's ".".
  if (::umount2(".", kDetach) != 0) {
    return Error::from_errno("detach the old root");
  }
  if (::chdir("/") != 0) {
    return Error::from_errno("chdir /");
  }
  return {};
}

Result<> make_character_device(const std::string& path, mode_t mode, dev_t device, uid_t owner) {
  if (::mknod(path.c_str(), S_IFCHR | mode, device) != 0) {
    return Error::from_errno("mknod " + path);
  }
  if (::chown(path.c_str(), owner, owner) != 0 || ::chmod(path.c_str(), mode) != 0) {
    return Error::from_errno("chown " + path);
  }
  return {};
}

}  // namespace bulkhead::os
