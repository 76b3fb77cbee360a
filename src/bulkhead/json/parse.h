#pragma once

#include <cstddef>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

namespace bulkhead::json {

/// What a text may cost. The defaults fit the largest manifest that registries accept.
struct Limits {
  std::size_t bytes = std::size_t{8} << 20U;
  std::size_t depth = 64;
  std::size_t values = 500'000;
};

/// Parses exactly one JSON value (RFC 8259): UTF-8 without byte order mark, nothing after it but
/// white space, no member named twice in an object (readers disagree about which one counts).
/// `what` is what the text is, for messages: "image config".
/// Errors: Invalid, ResourceExhausted beyond a limit.
Result<Value> parse(std::string_view text, std::string_view what, const Limits& limits = {});

/// Whether every byte belongs to a well-formed UTF-8 sequence.
bool is_utf8(std::string_view text);

}  // namespace bulkhead::json
