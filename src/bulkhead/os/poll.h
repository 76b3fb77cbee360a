#pragma once

#include <chrono>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Waits until there is something to read, or end of file. False when `timeout` has passed first.
Result<bool> wait_readable(int fd, std::chrono::milliseconds timeout);

/// The same without a limit of time. False when there is something to read from `other` first.
Result<bool> wait_readable_before(int fd, int other);

/// Whether the other end of this pipe or socket is closed.
bool is_hung_up(int fd);

}  // namespace bulkhead::os
