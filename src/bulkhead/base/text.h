#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead {

/// Text from a stranger as it may appear in a message: in double quotes, control characters and
/// bytes above 0x7e escaped, cut at 120 characters.
std::string quote(std::string_view text);

/// The whole of `text` as a decimal number; nothing for anything else ("+1", " 1", "1x", overflow).
template <std::integral T>
std::optional<T> parse_decimal(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

/// Pieces between separators; "a,,b" has three, "" has one, empty.
std::vector<std::string_view> split(std::string_view text, char separator);

/// Without those of `characters` that it begins and ends with.
std::string_view trimmed(std::string_view text, std::string_view characters);

/// "512", "512k", "64m", "1.5g", "1GiB", "2GB" in bytes; units are powers of 1024, as docker has
/// it. Errors: Invalid.
Result<std::uint64_t> parse_size(std::string_view text);

/// "61.3 MB" in powers of 1000, as docker prints image sizes.
std::string format_size(std::uint64_t bytes);

}  // namespace bulkhead
