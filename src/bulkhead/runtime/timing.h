#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"

namespace bulkhead::runtime {

/// When each phase of a container's life was reached, for --timing. Times are CLOCK_MONOTONIC, the
/// same for every process of the machine; the guest's count from its own boot.
class Timing {
 public:
  void mark(std::string_view phase) { mark(phase, std::chrono::steady_clock::now()); }

  void mark(std::string_view phase, SteadyTime when);
  void mark(std::string_view phase, const std::optional<SteadyTime>& when);
  void mark_guest(std::string phase, std::chrono::nanoseconds since_boot);

  /// {"host": [{"phase": …, "monotonic_nanoseconds": …}, …],
  ///  "guest": [{"phase": …, "nanoseconds_since_boot": …}, …]}, the host's in order of time.
  [[nodiscard]] std::string to_json() const;

  /// Whole or not at all.
  [[nodiscard]] Result<> write(const std::string& path) const;

 private:
  std::vector<std::pair<std::string, SteadyTime>> host_;
  std::vector<std::pair<std::string, std::chrono::nanoseconds>> guest_;
};

}  // namespace bulkhead::runtime
