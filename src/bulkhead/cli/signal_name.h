#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::cli {

/// "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3". Errors: Invalid.
Result<int> parse_signal(std::string_view text);

/// Of the signals that are no real-time ones, in the order of their numbers: "HUP", "INT", …
std::vector<std::string> signal_names();

}  // namespace bulkhead::cli
