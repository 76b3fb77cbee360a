#include "bulkhead/registry/link_header.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::registry {

std::optional<std::string> next_link(std::string_view header) {
  while (true) {
    const std::size_t begin = header.find('<');
    const std::size_t end = header.find('>', begin == std::string_view::npos ? 0 : begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view target = header.substr(begin + 1, end - begin - 1);
    header.remove_prefix(end + 1);
    // Up to the next link; a quoted parameter with "<" in it is nobody's.
    const std::string_view parameters = header.substr(0, header.find('<'));
    if (parameters.contains("rel=\"next\"") || parameters.contains("rel=next")) {
      return std::string(target);
    }
  }
}

}  // namespace bulkhead::registry
