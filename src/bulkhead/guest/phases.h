#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::guest {

/// When what was reached, by the guest's clock since its boot.
class Phases {
 public:
  void mark(std::string name);

  [[nodiscard]] const std::vector<std::pair<std::string, std::int64_t>>& list() const {
    return list_;
  }

 private:
  std::vector<std::pair<std::string, std::int64_t>> list_;
};

}  // namespace bulkhead::guest
