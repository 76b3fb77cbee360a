#pragma once

// What `stats` shows, apart from how it comes by it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/clock.h"

#include "containerd/cgroups/v2/metrics.pb.h"

namespace bulkhead::cli {

/// What a container has used up to one moment.
struct StatsSample {
  SteadyTime at;
  std::uint64_t processor_microseconds = 0;
  std::uint64_t memory_bytes = 0;  ///< without pages of files that it can do without
  std::uint64_t memory_limit_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t processes = 0;
};

StatsSample make_sample(const io::containerd::cgroups::v2::Metrics& metrics, SteadyTime at);

/// How much of a processor was used from one look to the next: 200 is two whole ones. No guest used
/// more than the processors that it has, whatever it says, and none gave time back.
double processor_percent(const StatsSample& before, const StatsSample& now, std::uint32_t vcpus);

/// A container as it is shown.
struct StatsLine {
  std::string id;
  std::string name;
  std::optional<StatsSample> sample;  ///< nothing of one that does not run, or does not answer
  std::optional<double> processor_percent;  ///< nothing at the first look
  std::optional<std::uint64_t> host_memory_bytes;
};

enum class IdLength : std::uint8_t { Short, Whole };

/// With a newline after each line.
std::string stats_table(const std::vector<StatsLine>& lines, IdLength ids);

/// One object, without a newline. What is not known is null.
std::string stats_json(const StatsLine& line);

}  // namespace bulkhead::cli
