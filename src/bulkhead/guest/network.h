#pragma once

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"

namespace bulkhead::guest {

/// Brings up every device, without an address.
Result<> prepare_network();

/// Brings up the loopback and the plan's interfaces, in the machine's one network namespace, which
/// is the container's. Errors: NotFound for an address (MAC) that no interface has.
Result<> configure_network(const agent::v1::Network& network);

}  // namespace bulkhead::guest
