#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"

namespace bulkhead::cli {

/// Where the time of one run went, phase by phase: the command line's own marks and the shim's, on
/// one clock (CLOCK_MONOTONIC), and the guest's, on its own since its boot.
class TimingReport {
 public:
  /// From the start of this process on.
  TimingReport();

  void mark(const std::string& phase);

  /// Adds the marks of the shim's timing.json. A malformed text adds nothing.
  void add_json(const std::string& text);

  /// A table on stderr.
  void print() const;

 private:
  std::vector<std::pair<std::string, SteadyTime>> marks_;
  std::vector<std::pair<std::string, std::chrono::nanoseconds>> guest_;
};

}  // namespace bulkhead::cli
