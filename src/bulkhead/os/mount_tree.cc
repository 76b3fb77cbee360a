#include "bulkhead/os/mount_tree.h"

#include <fcntl.h>
#include <linux/mount.h>
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
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/unique_fd.h"

// linux/mount.h and sys/mount.h of glibc 2.36 define the same names; this is in the second.
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags,
                     const void* data) noexcept;

namespace bulkhead::os {
namespace {

constexpr unsigned long kRecursive = 0x4000;    // MS_REC
constexpr unsigned long kPrivate = 1UL << 18U;  // MS_PRIVATE

Result<UniqueFd> descriptor(long result, const std::string& what) {
  if (result < 0) {
    return Error::from_errno(what);
  }
  return UniqueFd(static_cast<int>(result));
}

/// Where the working directory is: the same directory of the same mount, and no other, is equal.
struct Place {
  std::uint64_t mount = 0;
  std::uint64_t inode = 0;

  friend bool operator==(const Place&, const Place&) = default;
};

Result<Place> current_place() {
  struct statx info{};
  if (::statx(AT_FDCWD, ".", 0, STATX_INO | STATX_MNT_ID, &info) != 0) {
    return Error::from_errno("statx");
  }
  return Place{.mount = info.stx_mnt_id, .inode = info.stx_ino};
}

Result<> change_root() {
  if (::chroot(".") != 0) {
    return Error::from_errno("chroot");
  }
  return {};
}

/// The root of the mount namespace becomes this process's root, where it was another one. Only the
/// former can be left for good, and who has another may make no user namespace. The way: with
/// `elsewhere`, a directory that is not above it, as root, nothing stops the way up.
Result<> leave_chroot(int elsewhere) {
  const UniqueFd old_root = BH_TRY(open_file("/", O_PATH | O_DIRECTORY));
  BH_TRY(change_directory(elsewhere));
  BH_TRY(change_root());
  BH_TRY(change_directory(old_root.get()));
  constexpr int kDeepest = 4096;
  for (int i = 0; i < kDeepest; ++i) {
    const Place before = BH_TRY(current_place());
    if (::chdir("..") != 0) {
      return Error::from_errno("chdir ..");
    }
    if (BH_TRY(current_place()) == before) {
      return change_root();
    }
  }
  return fail(ErrorCode::FailedPrecondition, "the root of this mount namespace is too far away");
}

Result<> set_attributes(int mount, mount_attr attributes, bool is_recursive) {
  const unsigned flags = AT_EMPTY_PATH | (is_recursive ? AT_RECURSIVE : 0U);
  if (::syscall(SYS_mount_setattr, mount, "", flags, &attributes, sizeof attributes) != 0) {
    return Error::from_errno("mount_setattr");
  }
  return {};
}

}  // namespace

Result<UniqueFd> clone_mount(const std::string& path, bool is_recursive) {
  const unsigned depth = is_recursive ? AT_RECURSIVE : 0;
  return descriptor(
      ::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | depth),
      path);
}

Result<UniqueFd> make_file_system(const std::string& type,
                                  const std::vector<std::pair<std::string, std::string>>& options) {
  const UniqueFd context = BH_TRY(
      descriptor(::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC), "file system " + type));
  for (const auto& [key, value] : options) {
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(),
                  0) != 0) {
      return Error::from_errno("option " + key + " of " + type);
    }
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Error::from_errno("make " + type);
  }
  return descriptor(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0), "mount " + type);
}

Result<> restrict_mount(int mount, MountFlags flags) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID;
  attributes.propagation = kPrivate;
  attributes.attr_set |= flags.read_only ? std::uint64_t{MOUNT_ATTR_RDONLY} : 0;
  attributes.attr_set |= flags.no_exec ? std::uint64_t{MOUNT_ATTR_NOEXEC} : 0;
  attributes.attr_set |= flags.no_devices ? std::uint64_t{MOUNT_ATTR_NODEV} : 0;
  return set_attributes(mount, attributes, flags.is_recursive);
}

Result<> map_mount_ids(int mount, int user_namespace, bool is_recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<__u64>(user_namespace);
  return set_attributes(mount, attributes, is_recursive);
}

Result<> attach_mount(int mount, const std::string& path) {
  if (::syscall(SYS_move_mount, mount, "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return Error::from_errno("mount on " + path);
  }
  return {};
}

Result<> replace_root(int mount) {
  BH_TRY(leave_chroot(mount));
  if (::mount(nullptr, "/", nullptr, kRecursive | kPrivate, nullptr) != 0) {
    return Error::from_errno("make mounts private");
  }
  // It is stacked on the root for a moment, so that no directory of the host is needed for it.
  BH_TRY(attach_mount(mount, "/"));
  BH_TRY(change_directory(mount));
  return pivot_to_current_directory();
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
