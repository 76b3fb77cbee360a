#pragma once

// What the guest answers, checked. The guest is an enemy: every field of every answer is bounded
// here, and nothing above this module sees a message of the guest's as it came.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"

namespace bulkhead::agent_client {

/// Why the guest could not start a process.
enum class StartFailure : std::uint8_t {
  None,
  Setup,
  NotFound,
  NotExecutable,
  User,
  WorkingDirectory,
};

/// A point in the guest's start, for --timing.
struct GuestPhase {
  std::string name;
  std::chrono::nanoseconds since_boot;
};

struct StartOutcome {
  std::uint32_t pid = 0;  ///< in the guest; 0 when it failed
  StartFailure failure = StartFailure::None;
  std::string message;  ///< printable, at most 1 KiB; only when it failed
  std::vector<GuestPhase> phases;
};

struct ProcessEnd {
  std::uint8_t status = 0;  ///< as shells count: the exit code, or 128 + signal
  std::uint8_t signal = 0;
  bool out_of_memory = false;
};

/// Errors of all: Corrupt, naming the field.
Result<StartOutcome> check(const agent::v1::StartResponse& response);
Result<StartOutcome> check(const agent::v1::ExecResponse& response);
Result<ProcessEnd> check(const agent::v1::WaitResponse& response);
Result<std::vector<std::uint32_t>> check(const agent::v1::ProcessesResponse& response);

}  // namespace bulkhead::agent_client
