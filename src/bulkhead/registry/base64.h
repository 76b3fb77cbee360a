#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::registry {

/// Standard alphabet, padded. Source: RFC 4648 section 4.
std::string encode_base64(std::string_view text);

/// Nothing for anything else than what encode_base64() makes.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace bulkhead::registry
