#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/agent_client/check.h"

#include "containerd/cgroups/v2/metrics.pb.h"

namespace bulkhead::shim {

inline constexpr std::string_view kMetricsType = "io.containerd.cgroups.v2.Metrics";

/// What a container has used, as containerd's callers know it from cgroups of the host. No more
/// memory than its machine has is believed; a container without a limit of its own has that one.
io::containerd::cgroups::v2::Metrics to_metrics(const agent_client::Statistics& statistics,
                                                std::uint64_t machine_memory_bytes);

}  // namespace bulkhead::shim
