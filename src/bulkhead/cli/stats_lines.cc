#include "bulkhead/cli/stats_lines.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ratio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/memory_size.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"

#include "containerd/cgroups/v2/metrics.pb.h"

namespace bulkhead::cli {
namespace {

constexpr const char* kUnknown = "--";

/// A guest may say what it likes: sums stay at the largest number.
std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return a > kMost - b ? kMost : a + b;
}

double memory_percent(const StatsSample& sample) {
  return sample.memory_limit_bytes == 0 ? 0
                                        : 100 * static_cast<double>(sample.memory_bytes) /
                                              static_cast<double>(sample.memory_limit_bytes);
}

std::string pair_text(const std::string& first, const std::string& second) {
  return first + " / " + second;
}

template <class T>
json::Value or_null(const std::optional<T>& value) {
  return value ? json::Value(*value) : json::Value();
}

}  // namespace

StatsSample make_sample(const io::containerd::cgroups::v2::Metrics& metrics, SteadyTime at) {
  const auto& memory = metrics.memory();
  StatsSample sample{.at = at,
                     .processor_microseconds = metrics.cpu().usage_usec(),
                     .memory_bytes = memory.usage(),
                     .memory_limit_bytes = memory.usage_limit(),
                     .processes = metrics.pids().current()};
  // As docker has it: what the kernel drops first is not the container's need.
  if (memory.inactive_file() < memory.usage()) {
    sample.memory_bytes -= memory.inactive_file();
  }
  for (const auto& interface : metrics.network()) {
    sample.received_bytes = add(sample.received_bytes, interface.rx_bytes());
    sample.sent_bytes = add(sample.sent_bytes, interface.tx_bytes());
  }
  for (const auto& device : metrics.io().usage()) {
    sample.read_bytes = add(sample.read_bytes, device.rbytes());
    sample.written_bytes = add(sample.written_bytes, device.wbytes());
  }
  return sample;
}

double processor_percent(const StatsSample& before, const StatsSample& now, std::uint32_t vcpus) {
  const double elapsed = std::chrono::duration<double, std::micro>(now.at - before.at).count();
  if (elapsed <= 0 || now.processor_microseconds <= before.processor_microseconds) {
    return 0;
  }
  const auto used = static_cast<double>(now.processor_microseconds - before.processor_microseconds);
  return std::min(100 * used / elapsed, 100.0 * vcpus);
}

std::string stats_table(const std::vector<StatsLine>& lines, IdLength ids) {
  Table table({"CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O",
               "BLOCK I/O", "PIDS", "HOST MEM"});
  const std::size_t length = ids == IdLength::Whole ? std::string::npos : kShortId;
  for (const StatsLine& line : lines) {
    std::vector<std::string> row = {line.id.substr(0, length), line.name};
    row.push_back(line.processor_percent ? fmt::format("{:.2f}%", *line.processor_percent)
                                         : kUnknown);
    if (const auto& sample = line.sample) {
      row.push_back(pair_text(format_memory_size(sample->memory_bytes),
                              format_memory_size(sample->memory_limit_bytes)));
      row.push_back(fmt::format("{:.2f}%", memory_percent(*sample)));
      row.push_back(
          pair_text(format_size(sample->received_bytes), format_size(sample->sent_bytes)));
      row.push_back(pair_text(format_size(sample->read_bytes), format_size(sample->written_bytes)));
      row.push_back(std::to_string(sample->processes));
    } else {
      const std::string unknown = pair_text(kUnknown, kUnknown);
      row.insert(row.end(), {unknown, kUnknown, unknown, unknown, kUnknown});
    }
    row.push_back(line.host_memory_bytes ? format_memory_size(*line.host_memory_bytes) : kUnknown);
    table.add(std::move(row));
  }
  return table.text();
}

std::string stats_json(const StatsLine& line) {
  json::Value value;
  value.set("id", line.id);
  value.set("name", line.name);
  value.set("cpu_percent", or_null(line.processor_percent));
  const auto figure = [&](auto member) {
    return line.sample ? json::Value((*line.sample).*member) : json::Value();
  };
  value.set("memory_bytes", figure(&StatsSample::memory_bytes));
  value.set("memory_limit_bytes", figure(&StatsSample::memory_limit_bytes));
  value.set("memory_percent",
            line.sample ? json::Value(memory_percent(*line.sample)) : json::Value());
  value.set("network_received_bytes", figure(&StatsSample::received_bytes));
  value.set("network_sent_bytes", figure(&StatsSample::sent_bytes));
  value.set("block_read_bytes", figure(&StatsSample::read_bytes));
  value.set("block_written_bytes", figure(&StatsSample::written_bytes));
  value.set("pids", figure(&StatsSample::processes));
  value.set("host_memory_bytes", or_null(line.host_memory_bytes));
  return json::write(value);
}

}  // namespace bulkhead::cli
