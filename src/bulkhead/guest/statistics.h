#pragma once

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"

namespace bulkhead::guest {

/// What the container has used so far. What this kernel does not count is left out.
Result<agent::v1::StatisticsResponse> read_statistics(const ContainerCgroup& cgroup);

}  // namespace bulkhead::guest
