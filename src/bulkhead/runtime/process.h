#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/input_relay.h"
#include "bulkhead/runtime/output_relay.h"

namespace bulkhead::runtime {

/// Where a process's streams go, as Create and Exec name it (StdioTarget).
struct StdioPaths {
  std::string in;
  std::string out;
  std::string err;
};

enum class ProcessState : std::uint8_t {
  Created,
  Starting,  ///< start was asked and not answered
  Running,
  Draining,  ///< it has ended; its last bytes are on their way
  Stopped,
};

/// How a process ended.
struct ExitRecord {
  std::uint32_t status = 0;  ///< 0 to 255, as shells count
  WallTime at{};

  bool operator==(const ExitRecord&) const = default;
};

/// One process of a container: the container's first, whose id is empty, or an exec'd one. It holds
/// what is there on the host's side: state, streams and who waits.
class Process {
 public:
  using WaitCallback = std::move_only_function<void(ExitRecord)>;

  struct Config {
    std::string id;
    StdioPaths stdio;
    bool terminal = false;
    StdinLife stdin_life = StdinLife::UntilCloseIo;
    ContainerLog* log = nullptr;  ///< outlives the process
  };

  /// Opens the FIFOs. Errors: as the relays'.
  static Result<std::unique_ptr<Process>> create(os::EventLoop& loop, Config config,
                                                 agent::v1::Process plan);

  [[nodiscard]] const std::string& id() const { return config_.id; }

  [[nodiscard]] const StdioPaths& stdio() const { return config_.stdio; }

  [[nodiscard]] bool terminal() const { return config_.terminal; }

  [[nodiscard]] ProcessState state() const { return state_; }

  /// Only when Stopped.
  [[nodiscard]] const ExitRecord& exit() const { return exit_; }

  [[nodiscard]] agent::v1::Process& plan() { return plan_; }

  /// Opens the streams and names them in the plan. Then it is Starting.
  Result<> open_streams(agent_client::Agent& agent);

  void set_running() { state_ = ProcessState::Running; }

  void close_stdin();

  /// The process has ended so, or will never have been. Calls `done` when the streams are drained;
  /// then it is Stopped.
  void end(std::uint32_t status, WallTime at, std::move_only_function<void()> done);

  /// Drops output that nobody takes.
  void abandon_output();

  /// Once Stopped it calls back at once.
  void wait(WaitCallback callback);

  /// Tells everybody who waits.
  void announce();

  /// The terminal has another size than the plan said.
  bool resized_while_starting = false;

 private:
  Process(os::EventLoop& loop, Config config, agent::v1::Process plan)
      : loop_(loop), config_(std::move(config)), plan_(std::move(plan)) {}

  Result<> open_stdio();
  void on_drained();

  os::EventLoop& loop_;
  Config config_;
  agent::v1::Process plan_;
  ProcessState state_ = ProcessState::Created;
  ExitRecord exit_;
  std::unique_ptr<InputRelay> in_;
  std::unique_ptr<OutputRelay> out_;
  std::unique_ptr<OutputRelay> err_;
  std::uint32_t draining_ = 0;
  std::move_only_function<void()> ended_;
  std::vector<WaitCallback> waiting_;
};

}  // namespace bulkhead::runtime
