#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/shim/arguments.h"

namespace bulkhead::shim {

/// containerd's "start": makes the daemon and returns the address to print. `input` is what came on
/// standard input: runtime options, or BootstrapParams from containerd 2.3 on.
Result<std::string> start(const Arguments& arguments, const std::string& input);

}  // namespace bulkhead::shim
