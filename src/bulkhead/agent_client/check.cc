#include "bulkhead/agent_client/check.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ttrpc/status.h"

namespace bulkhead::agent_client {
namespace {

constexpr std::uint32_t kHighestPid = 4'194'304;  // PID_MAX_LIMIT
constexpr std::uint32_t kHighestSignal = 64;
constexpr std::size_t kLargestMessage = 1024;
constexpr int kMostPhases = 64;
constexpr std::size_t kLongestPhaseName = 32;
constexpr int kMostPids = 65536;
constexpr std::uint64_t kLargestNumber = std::numeric_limits<std::int64_t>::max();
constexpr int kMostCounters = 256;
constexpr std::size_t kLongestCounterName = 64;
constexpr int kMostBlockDevices = 256;
constexpr int kMostInterfaces = 64;
constexpr std::size_t kLongestInterfaceName = 64;  // 15 bytes, some of which may need escapes

Result<StartFailure> check_failure(int failure) {
  switch (failure) {
    case agent::v1::START_FAILURE_NONE:
      return StartFailure::None;
    case agent::v1::START_FAILURE_SETUP:
      return StartFailure::Setup;
    case agent::v1::START_FAILURE_NOT_FOUND:
      return StartFailure::NotFound;
    case agent::v1::START_FAILURE_NOT_EXECUTABLE:
      return StartFailure::NotExecutable;
    case agent::v1::START_FAILURE_USER:
      return StartFailure::User;
    case agent::v1::START_FAILURE_WORKING_DIRECTORY:
      return StartFailure::WorkingDirectory;
    default:
      return fail(ErrorCode::Corrupt, "guest answered: start failure {} is unknown", failure);
  }
}

Result<std::uint32_t> check_pid(std::uint32_t pid) {
  if (pid == 0 || pid > kHighestPid) {
    return fail(ErrorCode::Corrupt, "guest answered: {} is no process id", pid);
  }
  return pid;
}

Result<StartOutcome> check_start(std::uint32_t pid, int failure, std::string_view message) {
  StartOutcome outcome;
  outcome.failure = BH_TRY(check_failure(failure));
  if (outcome.failure == StartFailure::None) {
    outcome.pid = BH_TRY(check_pid(pid));
    return outcome;
  }
  outcome.message = ttrpc::printable(message, kLargestMessage);
  if (outcome.message.empty()) {
    outcome.message = "the guest gives no reason";
  }
  return outcome;
}

bool is_phase_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestPhaseName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
           c == ' ';
  });
}

bool is_counter_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestCounterName &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
         });
}

Result<std::uint64_t> check_number(std::string_view what, std::uint64_t number) {
  if (number > kLargestNumber) {
    return fail(ErrorCode::Corrupt, "guest answered: {}: {} is too large", what, number);
  }
  return number;
}

template <class Repeated>
Result<> check_count(std::string_view what, const Repeated& repeated, int most) {
  if (repeated.size() > most) {
    return fail(ErrorCode::Corrupt, "guest answered: {} {}", repeated.size(), what);
  }
  return {};
}

template <class Repeated>
Result<Counters> check_counters(std::string_view what, const Repeated& repeated) {
  BH_TRY(check_count(what, repeated, kMostCounters));
  Counters counters;
  for (const agent::v1::Counter& counter : repeated) {
    if (!is_counter_name(counter.name())) {
      return fail(ErrorCode::Corrupt, "guest answered: {}: counter {}", what,
                  quote(counter.name()));
    }
    counters[counter.name()] = BH_TRY(check_number(counter.name(), counter.value()));
  }
  return counters;
}

Result<BlockDevice> check_block_device(const agent::v1::BlockDevice& device) {
  BlockDevice checked{.major = device.major(), .minor = device.minor()};
  checked.read_bytes = BH_TRY(check_number("bytes read", device.read_bytes()));
  checked.written_bytes = BH_TRY(check_number("bytes written", device.written_bytes()));
  checked.reads = BH_TRY(check_number("reads", device.reads()));
  checked.writes = BH_TRY(check_number("writes", device.writes()));
  return checked;
}

Result<Traffic> check_traffic(const agent::v1::Traffic& traffic) {
  Traffic checked;
  checked.bytes = BH_TRY(check_number("bytes of an interface", traffic.bytes()));
  checked.packets = BH_TRY(check_number("packets", traffic.packets()));
  checked.errors = BH_TRY(check_number("errors of an interface", traffic.errors()));
  checked.dropped = BH_TRY(check_number("dropped packets", traffic.dropped()));
  return checked;
}

}  // namespace

Result<StartOutcome> check(const agent::v1::StartResponse& response) {
  StartOutcome outcome =
      BH_TRY(check_start(response.pid(), response.failure(), response.message()));
  if (response.phases_size() > kMostPhases) {
    return fail(ErrorCode::Corrupt, "guest answered: {} phases", response.phases_size());
  }
  for (const agent::v1::PhaseTime& phase : response.phases()) {
    const std::chrono::nanoseconds time(phase.nanoseconds_since_boot());
    if (!is_phase_name(phase.name()) || time.count() < 0 || time > std::chrono::hours(24)) {
      return fail(ErrorCode::Corrupt, "guest answered: phase {} at {} ns", quote(phase.name()),
                  time.count());
    }
    outcome.phases.push_back({.name = phase.name(), .since_boot = time});
  }
  return outcome;
}

Result<StartOutcome> check(const agent::v1::ExecResponse& response) {
  return check_start(response.pid(), response.failure(), response.message());
}

Result<ProcessEnd> check(const agent::v1::WaitResponse& response) {
  if (response.exit_code() > 255) {
    return fail(ErrorCode::Corrupt, "guest answered: exit code {}", response.exit_code());
  }
  if (response.signal() > kHighestSignal) {
    return fail(ErrorCode::Corrupt, "guest answered: ended by signal {}", response.signal());
  }
  const std::uint32_t status =
      response.signal() != 0 ? 128 + response.signal() : response.exit_code();
  return ProcessEnd{.status = static_cast<std::uint8_t>(status),
                    .signal = static_cast<std::uint8_t>(response.signal()),
                    .out_of_memory = response.out_of_memory()};
}

Result<std::vector<std::uint32_t>> check(const agent::v1::ProcessesResponse& response) {
  if (response.pids_size() > kMostPids) {
    return fail(ErrorCode::Corrupt, "guest answered: {} processes", response.pids_size());
  }
  std::vector<std::uint32_t> pids;
  pids.reserve(static_cast<std::size_t>(response.pids_size()));
  for (const std::uint32_t pid : response.pids()) {
    pids.push_back(BH_TRY(check_pid(pid)));
  }
  return pids;
}

Result<Statistics> check(const agent::v1::StatisticsResponse& response) {
  Statistics statistics;
  statistics.processor = BH_TRY(check_counters("counters of processors", response.processor()));
  statistics.memory = BH_TRY(check_counters("counters of memory", response.memory()));
  statistics.memory_events = BH_TRY(check_counters("memory events", response.memory_events()));
  statistics.memory_bytes = BH_TRY(check_number("memory", response.memory_bytes()));
  statistics.memory_peak_bytes = BH_TRY(check_number("peak memory", response.memory_peak_bytes()));
  statistics.memory_limit_bytes =
      BH_TRY(check_number("limit of memory", response.memory_limit_bytes()));
  statistics.processes = BH_TRY(check_number("processes", response.processes()));
  statistics.process_limit = BH_TRY(check_number("limit of processes", response.process_limit()));
  BH_TRY(check_count("block devices", response.block_devices(), kMostBlockDevices));
  for (const agent::v1::BlockDevice& device : response.block_devices()) {
    statistics.block_devices.push_back(BH_TRY(check_block_device(device)));
  }
  BH_TRY(check_count("interfaces", response.interfaces(), kMostInterfaces));
  for (const agent::v1::InterfaceCounters& interface : response.interfaces()) {
    Interface checked;
    checked.name = ttrpc::printable(interface.name(), kLongestInterfaceName);
    checked.received = BH_TRY(check_traffic(interface.received()));
    checked.sent = BH_TRY(check_traffic(interface.sent()));
    statistics.interfaces.push_back(std::move(checked));
  }
  return statistics;
}

}  // namespace bulkhead::agent_client
