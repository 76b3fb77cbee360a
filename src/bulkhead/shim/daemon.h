#pragma once

#include "bulkhead/base/result.h"
#include "bulkhead/shim/arguments.h"

namespace bulkhead::shim {

/// Be the daemon of one container until it is over. Descriptor 3 is the listening socket;
/// descriptor 4, if there is one, the container's lock.
Result<> serve(const Arguments& arguments);

}  // namespace bulkhead::shim
