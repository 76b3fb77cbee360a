#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::network {

/// A new TAP of that name with virtio-net headers, not persistent: it goes with its descriptor.
/// Errors: NotFound when the host has no /dev/net/tun, FailedPrecondition when the name is taken.
Result<os::UniqueFd> create_tap(const std::string& name);

}  // namespace bulkhead::network
