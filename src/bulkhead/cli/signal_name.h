#pragma once

#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::cli {

/// "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3". Errors: Invalid.
Result<int> parse_signal(std::string_view text);

}  // namespace bulkhead::cli
