#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"

// What only the first process of a machine does.

namespace bulkhead::os {

Result<> set_wall_clock(WallTime time);

/// Nanoseconds since the machine started, sleep included.
std::int64_t nanoseconds_since_boot();

/// Feeds the kernel's random pool, counts it as random, and has every generator seeded anew from
/// it: nothing that is read afterwards is what a copy of this machine reads. At most 512 bytes.
Result<> credit_entropy(Bytes entropy);

/// Forgets what was read from a block device: another disk may be there since.
Result<> drop_block_cache(const std::string& device);

/// Pages of this process stay in memory once they were touched.
Result<> lock_memory();

void sync_file_systems();

/// Returns only when the kernel refused.
Error restart_machine();

}  // namespace bulkhead::os
