#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Nanoseconds since the epoch, UTC.
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;

WallTime wall_now();

/// "2026-01-02T03:04:05.123456789Z"
std::string format_rfc3339(WallTime time);

/// Errors: Invalid. Accepts any offset and 0 to 9 fractional digits.
Result<WallTime> parse_rfc3339(std::string_view text);

/// "5 minutes", as docker prints ages and durations.
std::string format_duration(std::chrono::seconds duration);

/// The same, from one time to another.
std::string format_age(WallTime since, WallTime now = wall_now());

}  // namespace bulkhead
