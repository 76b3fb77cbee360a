#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// A descriptor that becomes readable when `path` is removed or renamed.
/// Errors: NotFound when it is not there.
Result<UniqueFd> watch_removal(const std::string& path);

}  // namespace bulkhead::os
