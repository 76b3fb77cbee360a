#include "bulkhead/os/privilege.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <span>
#include <string>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/credentials.h"

namespace bulkhead::os {

uid_t effective_user() { return ::geteuid(); }

void clear_file_mode_mask() { ::umask(0); }

Result<> clear_supplementary_groups() {
  if (::setgroups(0, nullptr) != 0) {
    return Error::from_errno("setgroups");
  }
  return {};
}

Result<> become_user(uid_t user, gid_t group) {
  if (::setresgid(group, group, group) != 0) {
    return Error::from_errno("setresgid");
  }
  if (::setresuid(user, user, user) != 0) {
    return Error::from_errno("setresuid");
  }
  return {};
}

Result<> drop_capabilities(std::uint64_t kept) {
  const std::uint64_t needed = kept | std::uint64_t{1} << CAP_SETPCAP;
  BH_TRY(set_capabilities({.effective = needed, .permitted = needed, .inheritable = kept}));
  BH_TRY(set_ambient_capabilities(kept));
  constexpr unsigned long kSecureBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                        SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                        SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) != 0) {
    return Error::from_errno("set secure bits");
  }
  BH_TRY(limit_bounding_set(kept));
  return set_capabilities({.effective = kept, .permitted = kept, .inheritable = kept});
}

Result<> forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::from_errno("set no_new_privs");
  }
  return {};
}

Result<> lower_limit(int resource, std::uint64_t value) {
  rlimit limit{};
  const auto which = static_cast<__rlimit_resource_t>(resource);
  if (::getrlimit(which, &limit) != 0) {
    return Error::from_errno("getrlimit");
  }
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, value);
  if (::setrlimit(which, &limit) != 0) {
    return Error::from_errno("setrlimit");
  }
  return {};
}

Result<> die_with_parent() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    return Error::from_errno("set parent death signal");
  }
  return {};
}

Result<> leave_session() {
  if (::setsid() < 0) {
    return Error::from_errno("setsid");
  }
  return {};
}

Result<> leave_keyring() {
  // A kernel without keyrings has none to leave.
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS) {
    return Error::from_errno("join a new session keyring");
  }
  return {};
}

Result<> set_host_name(const std::string& name) {
  if (::sethostname(name.c_str(), name.size()) != 0) {
    return Error::from_errno("sethostname");
  }
  return {};
}

Result<> install_seccomp_filter(std::span<const sock_filter> program) {
  const sock_fprog filter{
      .len = static_cast<unsigned short>(program.size()),
      // The kernel does not write to it.
      .filter = const_cast<sock_filter*>(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
          program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    return Error::from_errno("install seccomp filter");
  }
  return {};
}

Result<pid_t> fork_with_flags(std::uint64_t flags) {
  clone_args arguments{};
  arguments.flags = flags;
  arguments.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) {
    return Error::from_errno("clone3");
  }
  return static_cast<pid_t>(pid);
}

}  // namespace bulkhead::os
