#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// A new TAP of that name with virtio-net headers, not persistent: it goes with its descriptor.
/// Errors: NotFound when the host has no /dev/net/tun, AlreadyExists when a link has the name.
Result<UniqueFd> create_tap(const std::string& name);

}  // namespace bulkhead::os
