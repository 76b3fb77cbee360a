#pragma once

#include <string>
#include <vector>

namespace bulkhead {

/// Columns of text, as wide as their widest cell and three spaces apart.
class Table {
 public:
  explicit Table(std::vector<std::string> header);

  /// As many cells as the header has.
  void add(std::vector<std::string> row);

  /// With a newline after each line.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace bulkhead
