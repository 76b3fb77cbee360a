#pragma once

#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// Detached mounts of what the host gives, one for each of the plan's mounts and closed for those
/// that are something else: shares, and `data_disks` in their order. The shares' device is mounted
/// for it, in this mount namespace and once in a machine's life, and stays in use through its
/// clones alone. Errors: NotFound for a share that there is not.
Result<std::vector<os::UniqueFd>> open_host_mounts(const agent::v1::StartRequest& plan,
                                                   std::vector<os::UniqueFd> data_disks);

}  // namespace bulkhead::guest
