#pragma once

#include <cstdint>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"

// What only the first process of a machine does.

namespace bulkhead::os {

Result<> set_wall_clock(WallTime time);

/// Nanoseconds since the machine started, sleep included.
std::int64_t nanoseconds_since_boot();

/// Feeds the kernel's random pool and counts it as random. At most 512 bytes.
Result<> credit_entropy(Bytes entropy);

/// Pages of this process stay in memory once they were touched.
Result<> lock_memory();

void sync_file_systems();

/// Returns only when the kernel refused.
Error restart_machine();

}  // namespace bulkhead::os
