#include "bulkhead/registry/content_range.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "bulkhead/base/text.h"

namespace bulkhead::registry {

std::optional<ContentRange> ContentRange::parse(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) {
    return std::nullopt;
  }
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = parse_decimal<std::uint64_t>(text.substr(0, dash));
  const auto last = parse_decimal<std::uint64_t>(text.substr(dash + 1, slash - dash - 1));
  const std::string_view total_text = text.substr(slash + 1);
  const auto total = parse_decimal<std::uint64_t>(total_text);
  if (!first || !last || *last < *first || *last == UINT64_MAX ||
      (total ? *total <= *last : total_text != "*")) {
    return std::nullopt;
  }
  return ContentRange{.first = *first, .last = *last, .total = total};
}

}  // namespace bulkhead::registry
