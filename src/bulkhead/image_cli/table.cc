#include "bulkhead/image_cli/table.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace bulkhead::image_cli {

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  static constexpr std::size_t kGap = 3;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      text += row[column];
      if (column + 1 < row.size()) {
        text.append(widths[column] - row[column].size() + kGap, ' ');
      }
    }
    text += '\n';
  }
  return text;
}

}  // namespace bulkhead::image_cli
