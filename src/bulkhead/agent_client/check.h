#pragma once

// What the guest answers, checked. The guest is an enemy: every field of every answer is bounded
// here, and nothing above this module sees a message of the guest's as it came.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
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

/// Counters of the guest's kernel by its own names, such as "inactive_file".
using Counters = std::map<std::string, std::uint64_t, std::less<>>;

struct BlockDevice {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

struct Traffic {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::uint64_t errors = 0;
  std::uint64_t dropped = 0;
};

struct Interface {
  std::string name;  ///< printable
  Traffic received;
  Traffic sent;
};

/// What a container has used, as its guest says. Every number fits 63 bits; that it is true, or
/// more than the last time, nobody knows.
struct Statistics {
  Counters processor;
  Counters memory;
  Counters memory_events;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_peak_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;  ///< 0: none
  std::uint64_t processes = 0;
  std::uint64_t process_limit = 0;  ///< 0: none
  std::vector<BlockDevice> block_devices;
  std::vector<Interface> interfaces;
};

/// Errors of all: Corrupt, naming the field.
Result<StartOutcome> check(const agent::v1::StartResponse& response);
Result<StartOutcome> check(const agent::v1::ExecResponse& response);
Result<ProcessEnd> check(const agent::v1::WaitResponse& response);
Result<std::vector<std::uint32_t>> check(const agent::v1::ProcessesResponse& response);
Result<Statistics> check(const agent::v1::StatisticsResponse& response);

}  // namespace bulkhead::agent_client
