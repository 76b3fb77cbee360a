#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bulkhead::registry {

/// "bytes 100-199/1000" or "bytes 100-199/*". Source: RFC 9110 section 14.4.
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;              ///< inclusive; not before `first`
  std::optional<std::uint64_t> total;  ///< beyond `last`

  /// Nothing for anything else.
  static std::optional<ContentRange> parse(std::string_view text);
};

}  // namespace bulkhead::registry
