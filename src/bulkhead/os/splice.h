#pragma once

#include <cstddef>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Moves up to `count` bytes inside the kernel; one side must be a pipe. 0 is end of file.
/// Errors: Invalid when these descriptors cannot be spliced.
Result<std::size_t> splice_some(int from, int to, std::size_t count);

}  // namespace bulkhead::os
