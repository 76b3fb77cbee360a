#include "bulkhead/os/credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::os {
namespace {

Result<> control(int operation, unsigned long first, unsigned long second, const char* what) {
  if (::prctl(operation, first, second, 0, 0) != 0) {
    return Error::from_errno(what);
  }
  return {};
}

constexpr unsigned kMostCapabilities = 64;

}  // namespace

Result<> set_groups(std::span<const gid_t> groups) {
  if (::setgroups(groups.size(), groups.data()) != 0) {
    return Error::from_errno("setgroups");
  }
  return {};
}

Result<> set_group(gid_t group) {
  if (::setresgid(group, group, group) != 0) {
    return Error::from_errno("setgid");
  }
  return {};
}

Result<> set_user(uid_t user) {
  if (::setresuid(user, user, user) != 0) {
    return Error::from_errno("setuid");
  }
  return {};
}

Result<> keep_capabilities(bool keep) {
  return control(PR_SET_KEEPCAPS, keep ? 1 : 0, 0, "keep capabilities");
}

Result<> set_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const auto low = [](std::uint64_t mask) { return static_cast<__u32>(mask); };
  const auto high = [](std::uint64_t mask) { return static_cast<__u32>(mask >> 32U); };
  const std::array<__user_cap_data_struct, 2> data = {{{.effective = low(sets.effective),
                                                        .permitted = low(sets.permitted),
                                                        .inheritable = low(sets.inheritable)},
                                                       {.effective = high(sets.effective),
                                                        .permitted = high(sets.permitted),
                                                        .inheritable = high(sets.inheritable)}}};
  if (::syscall(SYS_capset, &header, data.data()) != 0) {
    return Error::from_errno("set capabilities");
  }
  return {};
}

Result<> limit_bounding_set(std::uint64_t kept) {
  for (unsigned capability = 0; capability < kMostCapabilities; ++capability) {
    if ((kept >> capability & 1U) != 0) {
      continue;
    }
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) {
        return {};  // beyond the last one this kernel knows
      }
      return Error::from_errno("limit bounding capabilities");
    }
  }
  return {};
}

Result<> set_ambient_capabilities(std::uint64_t capabilities) {
  BH_TRY(control(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, "clear ambient capabilities"));
  for (unsigned capability = 0; capability < kMostCapabilities; ++capability) {
    if ((capabilities >> capability & 1U) != 0) {
      BH_TRY(control(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, "raise ambient capability"));
    }
  }
  return {};
}

Result<> set_no_new_privileges() { return control(PR_SET_NO_NEW_PRIVS, 1, 0, "set no_new_privs"); }

Result<> set_dumpable(bool dumpable) {
  return control(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, "set dumpable");
}

Result<> join_new_keyring(const std::string& name) {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str()) < 0 && errno != ENOSYS) {
    return Error::from_errno("join session keyring");
  }
  return {};
}

Result<> set_resource_limit(int resource, ResourceLimitValue value) {
  const rlimit limit{.rlim_cur = value.soft, .rlim_max = value.hard};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
    return Error::from_errno("set resource limit");
  }
  return {};
}

}  // namespace bulkhead::os
