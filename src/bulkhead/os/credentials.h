#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "bulkhead/base/result.h"

// What a process is and may do. All of it concerns the calling thread.

namespace bulkhead::os {

Result<> set_groups(std::span<const gid_t> groups);

/// Real, effective and saved ids.
Result<> set_group(gid_t group);
Result<> set_user(uid_t user);

/// Keeps the permitted capabilities across set_user(). Source: capabilities(7), "keep
/// capabilities".
Result<> keep_capabilities(bool keep);

/// Bit n is capability n of capabilities(7).
struct CapabilitySets {
  std::uint64_t effective = 0;
  std::uint64_t permitted = 0;
  std::uint64_t inheritable = 0;
};

Result<> set_capabilities(const CapabilitySets& sets);

/// Takes every capability of this kernel that is not in `kept` from the bounding set.
Result<> limit_bounding_set(std::uint64_t kept);

/// Must be in the permitted and inheritable sets already.
Result<> set_ambient_capabilities(std::uint64_t capabilities);

Result<> set_no_new_privileges();

/// Whether others with the same ids may trace this process; execve sets it again.
Result<> set_dumpable(bool dumpable);

/// A new, empty session keyring. A kernel without keyrings is fine.
Result<> join_new_keyring(const std::string& name);

struct ResourceLimitValue {
  std::uint64_t soft;  ///< RLIM_INFINITY: ~0
  std::uint64_t hard;
};

/// `resource`: RLIMIT_*.
Result<> set_resource_limit(int resource, ResourceLimitValue value);

}  // namespace bulkhead::os
