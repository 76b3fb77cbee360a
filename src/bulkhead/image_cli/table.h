#pragma once

#include <string>
#include <vector>

namespace bulkhead::image_cli {

/// Columns three spaces apart, each as wide as its widest cell; the last is not padded.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace bulkhead::image_cli
