#include "bulkhead/agent_client/check.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
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

}  // namespace bulkhead::agent_client
