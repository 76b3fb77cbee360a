#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

// What a process gives up before it becomes something else. Each concerns the calling process.

namespace bulkhead::os {

uid_t effective_user();

/// Files are made with exactly the mode asked for from now on.
void clear_file_mode_mask();

Result<> clear_supplementary_groups();

/// Real, effective and saved ids.
Result<> become_user(uid_t user, gid_t group);

/// Empties all five capability sets but for `kept` (bit n is capability n of capabilities(7)),
/// which programs executed later have too, and keeps user 0 from regaining any by exec.
Result<> drop_capabilities(std::uint64_t kept = 0);

/// no_new_privs: no later exec grants anything.
Result<> forbid_new_privileges();

/// Sets a soft and hard limit (RLIMIT_*) to `value`, or to the hard limit where that is lower.
Result<> lower_limit(int resource, std::uint64_t value);

/// SIGKILL when the parent (the thread that made this process) ends. Lost by become_user().
Result<> die_with_parent();

/// A session and process group of its own: no controlling terminal.
Result<> leave_session();

/// An empty session keyring in place of the inherited one.
Result<> leave_keyring();

Result<> set_host_name(const std::string& name);

/// Installs a seccomp filter for good. Needs no_new_privs or CAP_SYS_ADMIN.
Result<> install_seccomp_filter(std::span<const sock_filter> program);

/// Forks with clone3(2): 0 in the child. `flags` are CLONE_NEW* and CLONE_PARENT; the exit signal
/// is SIGCHLD (with CLONE_PARENT, this process's own). Only where no other thread runs.
Result<pid_t> fork_with_flags(std::uint64_t flags);

}  // namespace bulkhead::os
