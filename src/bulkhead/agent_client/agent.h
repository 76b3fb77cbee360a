#pragma once

// The host's side of the guest protocol (proto/bulkhead/agent/v1/agent.proto): one connection to
// the agent of one virtual machine, over the multiplexer on the machine's agent channel.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::agent_client {

struct AgentTimeouts {
  std::chrono::milliseconds start{30000};
  std::chrono::milliseconds control{10000};  ///< signals, sizes, lists, statistics, limits
  std::chrono::milliseconds shutdown{5000};
};

struct AgentEvents {
  /// The agent has answered the multiplexer's greeting.
  std::move_only_function<void()> on_ready;
  /// The connection is over: the guest broke the protocol, or its machine is gone. Once; calls in
  /// progress have failed by then or fail right after.
  std::move_only_function<void(const Error&)> on_lost;
};

/// Every call is answered once. Errors of all: Timeout; Unavailable when the connection is lost;
/// Corrupt for an answer that cannot be right; what the agent answers, its text made printable.
/// Callbacks may destroy the agent.
class Agent {
 public:
  template <class T>
  using Done = std::move_only_function<void(Result<T>)>;

  /// Begins at once; what is sent waits in `channel` until the guest is up.
  static Result<std::unique_ptr<Agent>> create(os::EventLoop& loop, os::UniqueFd channel,
                                               AgentEvents events, AgentTimeouts timeouts = {});

  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent();

  [[nodiscard]] bool is_ready() const;

  /// Somebody else is to be told of the connection's end.
  void on_lost(std::move_only_function<void(const Error&)> callback);

  /// For the streams of stdio. Ids for them: next_stream().
  [[nodiscard]] std::weak_ptr<mux::Session> session() const;

  /// An id that was not given out before.
  mux::StreamId next_stream();

  void prepare(const agent::v1::PrepareRequest& request, Done<void> done);

  /// Where the machine is prepared, at most once: a whole start of a program of the guest's own, at
  /// the plan's path, and its undoing. Then no disk of the machine is in use.
  void rehearse(const agent::v1::StartRequest& request, Done<void> done);

  void start(const agent::v1::StartRequest& request, Done<StartOutcome> done);
  void exec(const agent::v1::ExecRequest& request, Done<StartOutcome> done);

  /// No deadline: a process may run for years.
  void wait(const std::string& exec_id, Done<ProcessEnd> done);

  enum class SignalScope : std::uint8_t { Process, Container };

  void signal(const std::string& exec_id, std::uint32_t signal, SignalScope scope, Done<void> done);
  void resize(const std::string& exec_id, std::uint32_t columns, std::uint32_t rows,
              Done<void> done);
  void processes(Done<std::vector<std::uint32_t>> done);
  void statistics(Done<Statistics> done);

  /// Of the limits 0 leaves one as it is, 2^64 - 1 takes it away. Errors beside: ResourceExhausted
  /// when more memory stays in use than is to be allowed.
  void update(const agent::v1::Resources& limits, Done<void> done);

  void shutdown(Done<void> done);

 private:
  struct State;

  explicit Agent(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::agent_client
