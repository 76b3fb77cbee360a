#pragma once

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// What must be there before the host can be heard: /sys, /dev, /proc and a root that a container
/// can pivot away from.
Result<> prepare_machine();

/// What makes PID 1 hard to harm and what its children inherit: limits, memory, the kernel's
/// settings. Failures are logged: a machine without them is of more use than none.
void settle_machine();

/// The virtio-serial port that the host's shim listens on.
Result<os::UniqueFd> open_agent_port();

}  // namespace bulkhead::guest
