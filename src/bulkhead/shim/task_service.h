#pragma once

// containerd's Task service (versions 2 and 3 have the same messages) for the one container of this
// shim. What the interface leaves open:
//
// pid       of a process is that of the virtual machine's process on the host, for every process of
//           the container; Pids lists process ids as the container sees them.
// a start that fails  is answered FailedPrecondition with the reason; State then says STOPPED with
//           exit status 127 (no such program), 126 (it cannot be executed) or 125 (all else), and
//           the container is over.
// stdin     ends by CloseIO alone, after what is in the FIFO; with the option stdin_once also when
//           its writer closes it.
// Stats     are io.containerd.cgroups.v2.Metrics of the container's cgroup in its guest, bounded by
//           its machine.
// Update    of limits takes memory, processor time and the number of processes; swap, reservations
//           and processor sets mean nothing in a machine of its own.
// Delete    of the first process is answered when machine, address and files are given back.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/container.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/shim/events.h"
#include "bulkhead/shim/managed.h"

#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::shim {

struct TaskServiceConfig {
  std::string id;
  std::string bundle;
  config::Paths paths;
  runtime::ContainerTimeouts timeouts;
  /// The machine that stands by for the container, if there is one. Called once, when it is
  /// created.
  std::move_only_function<std::unique_ptr<runtime::Standby>()> take_standby;
  /// Such a container could have had one: now is the time to see to the next one's. May be empty.
  std::move_only_function<void(const runtime::ContainerOptions&)> leave_standby;
};

class TaskService final : public containerd::task::v2::TaskService {
 public:
  /// `on_end`: the shim has nothing more to do, soon. Everything outlives the service.
  TaskService(os::EventLoop& loop, runtime::Host& host, runtime::Timing& timing,
              EventPublisher& events, TaskServiceConfig config,
              std::move_only_function<void()> on_end);

  void state(containerd::task::v2::StateRequest request,
             ttrpc::Responder<containerd::task::v2::StateResponse> respond) override;
  void create(containerd::task::v2::CreateTaskRequest request,
              ttrpc::Responder<containerd::task::v2::CreateTaskResponse> respond) override;
  void start(containerd::task::v2::StartRequest request,
             ttrpc::Responder<containerd::task::v2::StartResponse> respond) override;
  void delete_(containerd::task::v2::DeleteRequest request,
               ttrpc::Responder<containerd::task::v2::DeleteResponse> respond) override;
  void pids(containerd::task::v2::PidsRequest request,
            ttrpc::Responder<containerd::task::v2::PidsResponse> respond) override;
  void kill(containerd::task::v2::KillRequest request,
            ttrpc::Responder<google::protobuf::Empty> respond) override;
  void exec(containerd::task::v2::ExecProcessRequest request,
            ttrpc::Responder<google::protobuf::Empty> respond) override;
  void resize_pty(containerd::task::v2::ResizePtyRequest request,
                  ttrpc::Responder<google::protobuf::Empty> respond) override;
  void close_io(containerd::task::v2::CloseIORequest request,
                ttrpc::Responder<google::protobuf::Empty> respond) override;
  void wait(containerd::task::v2::WaitRequest request,
            ttrpc::Responder<containerd::task::v2::WaitResponse> respond) override;
  void stats(containerd::task::v2::StatsRequest request,
             ttrpc::Responder<containerd::task::v2::StatsResponse> respond) override;
  void update(containerd::task::v2::UpdateTaskRequest request,
              ttrpc::Responder<google::protobuf::Empty> respond) override;
  void connect(containerd::task::v2::ConnectRequest request,
               ttrpc::Responder<containerd::task::v2::ConnectResponse> respond) override;
  void shutdown(containerd::task::v2::ShutdownRequest request,
                ttrpc::Responder<google::protobuf::Empty> respond) override;

  /// Nobody is connected any more. A container of Bulkhead's own that was not started by then never
  /// will be.
  void on_idle();

  /// SIGTERM: the container is stopped, and killed if it does not; then the shim ends.
  void terminate();

  /// The container exists or once did.
  [[nodiscard]] bool is_managed() const { return managed_ != nullptr; }

  /// Where the caller wants phases written to; empty: nowhere.
  [[nodiscard]] const std::string& timing_path() const { return timing_path_; }

  /// Calls TaskServiceConfig::leave_standby, unless that was done: its container has ended.
  void leave_standby();

  /// Removes what is left of a managed container's files. Last.
  void finish();

 private:
  Result<std::uint32_t> create_container(const containerd::task::v2::CreateTaskRequest& request);
  runtime::ContainerObserver observer();

  void on_started(const runtime::Process& process);
  void on_exited(const runtime::Process& process);
  void on_gone();
  void end_if_done();

  /// Errors: NotFound when there is no such container.
  Result<runtime::Container*> find(const std::string& id);

  /// The outcome is known to a caller: the shim need not wait for one to ask.
  void told();

  os::EventLoop& loop_;
  runtime::Host& host_;
  runtime::Timing& timing_;
  EventPublisher& events_;
  TaskServiceConfig config_;
  std::move_only_function<void()> on_end_;
  std::string timing_path_;
  std::optional<runtime::ContainerOptions> standby_wanted_;
  os::EventLoop::TimerId standby_timer_ = 0;
  std::unique_ptr<ManagedState> managed_;
  std::unique_ptr<runtime::Container> container_;
  bool create_failed_ = false;
  bool deleted_ = false;
  bool told_ = false;
  bool is_idle_ = false;
  bool ending_ = false;
  bool shutdown_wanted_ = false;
  os::EventLoop::TimerId linger_timer_ = 0;
};

}  // namespace bulkhead::shim
