#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/json/value.h"

namespace bulkhead::json {

enum class Style : std::uint8_t {
  Compact,
  Pretty,  ///< two spaces, one member a line, a newline at the end
};

/// The value as text: always valid JSON; bytes of a string that are not UTF-8 become U+FFFD.
std::string write(const Value& value, Style style = Style::Compact);

}  // namespace bulkhead::json
