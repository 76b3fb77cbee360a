#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::registry {

/// The target of the first link "next" of a Link header. Source: RFC 8288 section 3.
std::optional<std::string> next_link(std::string_view header);

}  // namespace bulkhead::registry
