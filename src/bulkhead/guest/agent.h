#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent/v1/agent.ttrpc.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/phases.h"
#include "bulkhead/guest/process.h"
#include "bulkhead/guest/rehearsal.h"
#include "bulkhead/guest/root_mount.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"

namespace bulkhead::guest {

/// The guest protocol's service, and everything that it has started.
class Agent final : public agent::v1::AgentService {
 public:
  /// Serves the host on `port`. The loop must outlive the agent.
  static Result<std::unique_ptr<Agent>> create(os::EventLoop& loop, os::UniqueFd port,
                                               Phases phases);

  void prepare(agent::v1::PrepareRequest request,
               ttrpc::Responder<agent::v1::PrepareResponse> respond) override;
  void rehearse(agent::v1::StartRequest request,
                ttrpc::Responder<agent::v1::RehearseResponse> respond) override;
  void start(agent::v1::StartRequest request,
             ttrpc::Responder<agent::v1::StartResponse> respond) override;
  void exec(agent::v1::ExecRequest request,
            ttrpc::Responder<agent::v1::ExecResponse> respond) override;
  void wait(agent::v1::WaitRequest request,
            ttrpc::Responder<agent::v1::WaitResponse> respond) override;
  void signal(agent::v1::SignalRequest request,
              ttrpc::Responder<agent::v1::SignalResponse> respond) override;
  void resize(agent::v1::ResizeRequest request,
              ttrpc::Responder<agent::v1::ResizeResponse> respond) override;
  void processes(agent::v1::ProcessesRequest request,
                 ttrpc::Responder<agent::v1::ProcessesResponse> respond) override;
  void statistics(agent::v1::StatisticsRequest request,
                  ttrpc::Responder<agent::v1::StatisticsResponse> respond) override;
  void update(agent::v1::UpdateRequest request,
              ttrpc::Responder<agent::v1::UpdateResponse> respond) override;
  void shutdown(agent::v1::ShutdownRequest request,
                ttrpc::Responder<agent::v1::ShutdownResponse> respond) override;

 private:
  Agent(os::EventLoop& loop, Phases phases);

  void on_ready();
  void on_stream(mux::StreamId id);
  void on_broken(const Error& error);

  Result<> make_ready(const agent::v1::PrepareRequest& request);
  Result<> begin_rehearsal(const agent::v1::StartRequest& plan,
                           std::move_only_function<void(StartOutcome)> on_started);
  /// The container that was rehearsed is forgotten.
  Result<> undo_rehearsal(Phases phases);
  Result<> set_up_network(const agent::v1::Network& network);
  Result<> set_up_machine(const agent::v1::StartRequest& plan);
  Result<> launch(const agent::v1::StartRequest& plan,
                  std::move_only_function<void(StartOutcome)> on_started);
  Result<> launch_first(const agent::v1::StartRequest& plan,
                        std::move_only_function<void(StartOutcome)> on_started);
  void reap();
  [[nodiscard]] std::shared_ptr<Process> find(const std::string& id) const;
  Result<> deliver_signal(const agent::v1::SignalRequest& request) const;

  /// Ends every process of the container, then calls back; at once when there is none.
  void stop_container(std::move_only_function<void()> then);
  void power_off_when_sent(int attempts);

  os::EventLoop& loop_;
  Phases phases_;
  ttrpc::Server server_;
  std::unique_ptr<mux::Connection> connection_;

  bool was_started_ = false;
  bool shutting_down_ = false;
  std::string hostname_;
  std::optional<ContainerCgroup> cgroup_;
  std::optional<agent::v1::PrepareRequest> preparation_;
  std::optional<StagedChild> staged_;  ///< between prepare and start
  std::string network_;                ///< what it is set up as: a serialised Network
  std::optional<Rehearsal> rehearsal_;
  RootMount root_mount_;
  std::shared_ptr<Process> first_;
  std::map<std::string, std::shared_ptr<Process>> others_;  ///< exec'd, until they were waited for
  std::unordered_map<pid_t, std::weak_ptr<Process>> by_pid_;
  std::move_only_function<void()> when_stopped_;
  os::EventLoop::TimerId stop_timer_ = 0;
};

}  // namespace bulkhead::guest
