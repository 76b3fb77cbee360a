#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// What a process arranges for itself when it starts.

namespace bulkhead::os {

pid_t own_pid();

/// "K=V", in the order in which the process has them.
std::vector<std::string> own_environment();

/// The value of one of them.
std::optional<std::string> environment_variable(const std::string& name);

/// That process runs only when no other wants to. Its children inherit it.
/// Source: sched_setscheduler(2), SCHED_IDLE.
Result<> set_idle_priority(pid_t pid);

/// Until the next exec. A child spawned by os::spawn starts with the default again.
Result<> ignore_signal(int signal);

/// Takes over a descriptor that the parent passed by its number, and makes it close-on-exec.
/// Errors: Invalid when it is not open.
Result<UniqueFd> take_inherited(int fd);

}  // namespace bulkhead::os
