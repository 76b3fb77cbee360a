#pragma once

#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

namespace bulkhead::config {

/// Parses TOML 1.0 into the values that JSON has; dates and times become strings. Members of a
/// table are in the order of the text. What is not ASCII may stand in comment lines alone. `what`
/// is what the text is, for messages. Errors: Invalid, with line and column; ResourceExhausted
/// beyond 1 MiB.
Result<json::Value> parse_toml(std::string_view text, std::string_view what);

}  // namespace bulkhead::config
