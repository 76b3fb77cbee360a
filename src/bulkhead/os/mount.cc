#include "bulkhead/os/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// <sys/mount.h> and <linux/mount.h> of this libc cannot be included together.
// NOLINTNEXTLINE(readability-redundant-declaration)
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags,
                     const void* data) noexcept;
// NOLINTNEXTLINE(readability-redundant-declaration)
extern "C" int umount2(const char* target, int flags) noexcept;

namespace bulkhead::os {
namespace {

constexpr int kDetach = 2;               // MNT_DETACH
constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE
constexpr unsigned long kMove = 8192;    // MS_MOVE

}  // namespace

Result<> mount(const MountRequest& request) {
  const char* data = request.data.empty() ? nullptr : request.data.c_str();
  if (::mount(request.source.c_str(), request.target.c_str(), request.type.c_str(), request.flags,
              data) != 0) {
    return Error::from_errno("mount " + request.type + " on " + request.target);
  }
  return {};
}

Result<> unmount(const std::string& target, int flags) {
  if (::umount2(target.c_str(), flags) != 0 && errno != EINVAL && errno != ENOENT) {
    return Error::from_errno("unmount " + target);
  }
  return {};
}

Result<UniqueFd> clone_tree(int fd, TreeDepth depth) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | static_cast<unsigned>(AT_EMPTY_PATH);
  if (depth == TreeDepth::Recursive) {
    flags |= kRecursive;
  }
  const long tree = ::syscall(SYS_open_tree, fd, "", flags);
  if (tree < 0) {
    return Error::from_errno("open_tree");
  }
  return UniqueFd(static_cast<int>(tree));
}

Result<> attach_mount(int mount, int target) {
  if (::syscall(SYS_move_mount, mount, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Error::from_errno("move_mount");
  }
  return {};
}

Result<> set_mount_attributes(int mount, std::uint64_t attributes, TreeDepth depth) {
  mount_attr attr{};
  attr.attr_set = attributes;
  unsigned flags = AT_EMPTY_PATH;
  if (depth == TreeDepth::Recursive) {
    flags |= kRecursive;
  }
  if (::syscall(SYS_mount_setattr, mount, "", flags, &attr, sizeof attr) != 0) {
    return Error::from_errno("mount_setattr");
  }
  return {};
}

Result<> pivot_to_current_directory() {
  if (::syscall(SYS_pivot_root, ".", ".") != 0) {
    return Error::from_errno("pivot_root");
  }
  // The old root lies on top of the new one now.
  if (::umount2(".", kDetach) != 0) {
    return Error::from_errno("detach the old root");
  }
  return change_directory("/");
}

Result<> move_current_directory_to_root() {
  if (::mount(".", "/", nullptr, kMove, nullptr) != 0) {
    return Error::from_errno("move mount to /");
  }
  if (::chroot(".") != 0) {
    return Error::from_errno("chroot");
  }
  return {};
}

Result<> change_directory(const std::string& path) {
  if (::chdir(path.c_str()) != 0) {
    return Error::from_errno("chdir " + path);
  }
  return {};
}

Result<> change_directory(int directory) {
  if (::fchdir(directory) != 0) {
    return Error::from_errno("fchdir");
  }
  return {};
}

Result<std::string> current_directory() {
  // glibc's getcwd hides the "(unreachable)" of the kernel behind a search of its own.
  std::array<char, PATH_MAX + 32> buffer{};
  if (::syscall(SYS_getcwd, buffer.data(), buffer.size()) < 0) {
    return Error::from_errno("getcwd");
  }
  return std::string(buffer.data());
}

Result<> make_directory_at(int directory, const std::string& name, mode_t mode) {
  if (::mkdirat(directory, name.c_str(), mode) != 0) {
    return Error::from_errno("make directory " + name);
  }
  return {};
}

Result<> make_node_at(int directory, const std::string& name, mode_t mode, dev_t device) {
  if (::mknodat(directory, name.c_str(), mode, device) != 0) {
    return Error::from_errno("make node " + name);
  }
  return {};
}

Result<> make_symlink_at(int directory, const std::string& name, const std::string& target) {
  if (::symlinkat(target.c_str(), directory, name.c_str()) != 0) {
    return Error::from_errno("make symbolic link " + name);
  }
  return {};
}

Result<std::string> read_link_at(int directory, const std::string& name) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n = ::readlinkat(directory, name.c_str(), buffer.data(), buffer.size());
  if (n < 0) {
    return Error::from_errno("read link " + name);
  }
  if (static_cast<std::size_t>(n) == buffer.size()) {
    return Error::from_errno(ENAMETOOLONG, "read link " + name);
  }
  return std::string(buffer.data(), static_cast<std::size_t>(n));
}

Result<std::uint64_t> file_system_type(int fd) {
  struct statfs status{};
  if (::fstatfs(fd, &status) != 0) {
    return Error::from_errno("statfs");
  }
  return static_cast<std::uint64_t>(status.f_type);
}

Result<> check_executable(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0) {
    return Error::from_errno(path);
  }
  return {};
}

Result<> change_owner(int fd, uid_t owner) {
  if (::fchown(fd, owner, static_cast<gid_t>(-1)) != 0) {
    return Error::from_errno("chown");
  }
  return {};
}

void set_umask(mode_t mask) { ::umask(mask); }

}  // namespace bulkhead::os
