#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/pumps.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// How a start went.
struct StartOutcome {
  agent::v1::StartFailure failure = agent::v1::START_FAILURE_NONE;
  std::string message;
};

/// How a process ended.
struct ProcessEnd {
  os::ExitStatus status;
  bool out_of_memory = false;
};

/// One process of the container that we started: its child, its streams and those who wait for it.
class Process : public std::enable_shared_from_this<Process> {
 public:
  struct Options {
    std::string id;                                  ///< "" for the first
    const agent::v1::StartRequest* start = nullptr;  ///< of the first
    const agent::v1::Process* process = nullptr;
    std::string hostname;
    const Process* container = nullptr;  ///< the first process, for others
    StagedChild* staged = nullptr;       ///< becomes the first one; it waits for give_root()
  };

  /// Starts the child; `on_started` is told when it runs its program or why it does not.
  /// The options are used during the call only.
  static Result<std::shared_ptr<Process>> launch(
      os::EventLoop& loop, std::weak_ptr<mux::Session> session, const ContainerCgroup& cgroup,
      const Options& options, std::move_only_function<void(StartOutcome)> on_started);

  /// For one that was staged: the plan's disks are mounted.
  [[nodiscard]] Result<> give_root(const agent::v1::StartRequest& plan) const;

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  [[nodiscard]] const std::string& id() const { return id_; }

  [[nodiscard]] pid_t pid() const { return pid_; }

  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  [[nodiscard]] bool has_exited() const { return status_.has_value(); }

  /// Called with the end when it has come and all output is on its streams.
  void when_finished(std::move_only_function<void(const ProcessEnd&)> callback);

  /// The reaper has it.
  void on_exit(os::ExitStatus status);

  /// Errors: NotFound when it has ended.
  [[nodiscard]] Result<> kill(int signal) const;

  /// Errors: FailedPrecondition without a terminal.
  [[nodiscard]] Result<> resize(std::uint32_t columns, std::uint32_t rows) const;

 private:
  struct Standard;

  Process(os::EventLoop& loop, std::weak_ptr<mux::Session> session, const ContainerCgroup& cgroup,
          const Options& options);

  Result<> prepare_standard(Standard& child);
  Result<> clone_child(const Options& options, const Standard& child);
  Result<> start_staged(const Options& options, const Standard& child);
  void on_report();
  void on_started();
  void on_failed_start(StartOutcome outcome);
  Result<> start_pumps();
  void drain();
  void finish_if_drained();

  [[nodiscard]] bool is_first() const { return id_.empty(); }

  os::EventLoop& loop_;
  std::weak_ptr<mux::Session> session_;
  const ContainerCgroup& cgroup_;
  std::string id_;
  bool has_terminal_;
  std::array<mux::StreamId, 3> streams_;
  std::uint64_t kills_before_;  ///< for want of memory

  pid_t pid_ = 0;
  os::UniqueFd pidfd_;
  os::UniqueFd report_;
  std::string reported_;
  std::vector<os::UniqueFd> reported_fds_;
  bool starting_ = true;
  std::move_only_function<void(StartOutcome)> on_started_;

  os::UniqueFd ours_[3];  ///< our ends of its pipes, until the pumps have them
  os::UniqueFd controller_;
  std::shared_ptr<InputPump> input_;
  std::vector<std::shared_ptr<OutputPump>> outputs_;
  os::EventLoop::TimerId drain_timer_ = 0;

  std::optional<ProcessEnd> end_;
  std::optional<os::ExitStatus> status_;
  std::vector<std::move_only_function<void(const ProcessEnd&)>> waiters_;
};

}  // namespace bulkhead::guest
