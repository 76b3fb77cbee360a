#include "bulkhead/shim/task_service.h"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/runtime/container.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/process.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/shim/events.h"
#include "bulkhead/shim/managed.h"
#include "bulkhead/shim/metrics.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/v1/options.pb.h"

#include "containerd/events/task.pb.h"

namespace bulkhead::shim {
namespace {

namespace task_api = containerd::task::v2;
namespace event_types = containerd::events;
using google::protobuf::Empty;
using ttrpc::Responder;

constexpr std::string_view kOptionsType = "bulkhead.v1.CreateOptions";
constexpr std::string_view kResourcesType = "LinuxResources";
constexpr std::string_view kRootType = "bulkhead/ext4";
constexpr std::size_t kLargestSpec = 16U << 20U;

/// How long a shim that is done stays for a caller that has not asked yet how it went.
constexpr std::chrono::milliseconds kLinger{1000};
/// How long a container that runs has the processors before the next one's machine is seen to.
constexpr std::chrono::seconds kStandbyPause{1};
/// How long a container has between SIGTERM and SIGKILL when its shim is asked to end.
constexpr std::chrono::seconds kStopPatience{10};

google::protobuf::Timestamp timestamp(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  google::protobuf::Timestamp stamp;
  stamp.set_seconds(seconds.count());
  stamp.set_nanos(static_cast<std::int32_t>((since_epoch - seconds).count()));
  return stamp;
}

std::string_view bare_type(std::string_view type_url) {
  return type_url.substr(type_url.find_last_of('/') + 1);
}

/// Callers other than Bulkhead's own say nothing of the kind: they bring their own network.
Result<runtime::ContainerOptions> read_options(const task_api::CreateTaskRequest& request,
                                               std::string& timing_path) {
  if (bare_type(request.options().type_url()) != kOptionsType) {
    runtime::ContainerOptions options;
    options.network = "none";
    BH_TRY(options.settle());
    return options;
  }
  v1::CreateOptions proto;
  if (!proto.ParseFromString(request.options().value())) {
    return fail(ErrorCode::Invalid, "create: options cannot be read");
  }
  timing_path = proto.timing_path();
  return runtime::ContainerOptions::from_proto(proto);
}

Result<std::string> read_root(const task_api::CreateTaskRequest& request) {
  for (const auto& mount : request.rootfs()) {
    if (mount.type() != kRootType) {
      return fail(ErrorCode::Unsupported, "create: a root of type {} is not supported yet, only {}",
                  quote(mount.type()), kRootType);
    }
  }
  if (request.rootfs_size() != 1) {
    return fail(ErrorCode::Invalid, "create: one root of type {} is expected, there are {}",
                kRootType, request.rootfs_size());
  }
  return request.rootfs(0).source();
}

task_api::StateResponse describe(const runtime::Container& container,
                                 const runtime::Process& process) {
  task_api::StateResponse response;
  response.set_id(process.id().empty() ? container.config().id : process.id());
  response.set_bundle(container.config().bundle);
  response.set_pid(static_cast<std::uint32_t>(container.pid()));
  response.set_stdin(process.stdio().in);
  response.set_stdout(process.stdio().out);
  response.set_stderr(process.stdio().err);
  response.set_terminal(process.terminal());
  response.set_exec_id(process.id());
  switch (process.state()) {
    case runtime::ProcessState::Created:
    case runtime::ProcessState::Starting:
      response.set_status(containerd::v1::types::CREATED);
      break;
    case runtime::ProcessState::Running:
    case runtime::ProcessState::Draining:
      response.set_status(containerd::v1::types::RUNNING);
      break;
    case runtime::ProcessState::Stopped:
      response.set_status(containerd::v1::types::STOPPED);
      response.set_exit_status(process.exit().status);
      *response.mutable_exited_at() = timestamp(process.exit().at);
      break;
  }
  return response;
}

/// A callback that passes a result without a value on.
std::move_only_function<void(Result<>)> answer(Responder<Empty> respond) {
  return [respond = std::move(respond)](const Result<>& result) mutable {
    result ? respond(Empty()) : respond(result.error());
  };
}

}  // namespace

TaskService::TaskService(os::EventLoop& loop, runtime::Host& host, runtime::Timing& timing,
                         EventPublisher& events, TaskServiceConfig config,
                         std::move_only_function<void()> on_end)
    : loop_(loop),
      host_(host),
      timing_(timing),
      events_(events),
      config_(std::move(config)),
      on_end_(std::move(on_end)) {
  events_.on_empty([this] { end_if_done(); });
}

Result<runtime::Container*> TaskService::find(const std::string& id) {
  if (container_ == nullptr || deleted_ || id != config_.id) {
    return fail(ErrorCode::NotFound, "container {}: not found", quote(id));
  }
  return container_.get();
}

// --- create and start ---

void TaskService::create(task_api::CreateTaskRequest request,
                         Responder<task_api::CreateTaskResponse> respond) {
  timing_.mark("create asked");
  auto pid = create_container(request);
  if (!pid) {
    log::warning("create: {}", pid.error().message());
    respond(pid.error());
    return;
  }
  event_types::TaskCreate event;
  event.set_container_id(request.id());
  event.set_bundle(request.bundle());
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_pid(*pid);
  events_.publish("/tasks/create", "containerd.events.TaskCreate", event,
                  fmt::format("container {} created", request.id()));
  task_api::CreateTaskResponse response;
  response.set_pid(*pid);
  respond(response);
}

Result<std::uint32_t> TaskService::create_container(const task_api::CreateTaskRequest& request) {
  if (request.id() != config_.id) {
    return fail(ErrorCode::Invalid, "create: this is the shim of container {}, not of {}",
                config_.id, quote(request.id()));
  }
  if (container_ != nullptr || create_failed_ || ending_) {
    return fail(ErrorCode::AlreadyExists, "container {}: exists", config_.id);
  }
  if (!request.checkpoint().empty() || !request.parent_checkpoint().empty()) {
    return fail(ErrorCode::Unsupported, "create: checkpoints are not supported");
  }
  runtime::ContainerConfig config;
  config.id = request.id();
  config.bundle = request.bundle().empty() ? config_.bundle : request.bundle();
  config.options = BH_TRY(read_options(request, timing_path_));
  if (config.options.managed) {
    managed_ = std::make_unique<ManagedState>(BH_TRY(runtime::ContainerStore::open(config_.paths)),
                                              config.id, config.options.remove_on_exit);
  }
  const auto make = [&]() -> Result<> {
    config.base_path = BH_TRY(read_root(request));
    config.spec = BH_TRY(
        oci::Spec::parse(BH_TRY(os::read_file(config.bundle + "/config.json", kLargestSpec))));
    config.stdio = {.in = request.stdin(), .out = request.stdout(), .err = request.stderr()};
    config.terminal = request.terminal();
    if (config.options.managed && runtime::can_take_standby(config.options, config.spec)) {
      standby_wanted_ = config.options;
    }
    container_ = BH_TRY(runtime::Container::create(
        loop_, host_, timing_, std::move(config), observer(), config_.timeouts,
        config_.take_standby ? config_.take_standby() : nullptr));
    return {};
  };
  if (auto made = make(); !made) {
    if (managed_ != nullptr) {
      // A shim of a container of ours has one container, once.
      create_failed_ = true;
      managed_->create_failed(made.error().message());
      end_if_done();
    }
    return std::move(made.error());
  }
  if (managed_ != nullptr) {
    managed_->created(*container_);
  }
  timing_.mark("created");
  return static_cast<std::uint32_t>(container_->pid());
}

runtime::ContainerObserver TaskService::observer() {
  return {.on_started = [this](const runtime::Process& process) { on_started(process); },
          .on_exited = [this](const runtime::Process& process) { on_exited(process); },
          .on_out_of_memory =
              [this] {
                event_types::TaskOOM event;
                event.set_container_id(config_.id);
                events_.publish("/tasks/oom", "containerd.events.TaskOOM", event,
                                fmt::format("container {} out of memory", config_.id));
              },
          .on_gone = [this] { on_gone(); }};
}

void TaskService::start(task_api::StartRequest request,
                        Responder<task_api::StartResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  if (request.exec_id().empty()) {
    timing_.mark("start asked");
  }
  (*container)
      ->start(request.exec_id(),
              [this, respond = std::move(respond)](const Result<>& result) mutable {
                if (!result) {
                  respond(result.error());
                  return;
                }
                task_api::StartResponse response;
                response.set_pid(static_cast<std::uint32_t>(container_->pid()));
                respond(response);
              });
}

void TaskService::on_started(const runtime::Process& process) {
  const auto pid = static_cast<std::uint32_t>(container_->pid());
  if (!process.id().empty()) {
    event_types::TaskExecStarted event;
    event.set_container_id(config_.id);
    event.set_exec_id(process.id());
    event.set_pid(pid);
    events_.publish("/tasks/exec-started", "containerd.events.TaskExecStarted", event,
                    fmt::format("container {} exec {} started", config_.id, process.id()));
    return;
  }
  if (managed_ != nullptr) {
    managed_->running(*container_);
  }
  standby_timer_ = loop_.after(kStandbyPause, [this] { leave_standby(); });
  event_types::TaskStart event;
  event.set_container_id(config_.id);
  event.set_pid(pid);
  events_.publish("/tasks/start", "containerd.events.TaskStart", event,
                  fmt::format("container {} started", config_.id));
}

// --- the end ---

void TaskService::on_exited(const runtime::Process& process) {
  if (process.id().empty() && managed_ != nullptr) {
    managed_->stopped(*container_, process.exit());
  }
  event_types::TaskExit event;
  event.set_container_id(config_.id);
  event.set_id(process.id().empty() ? config_.id : process.id());
  event.set_pid(static_cast<std::uint32_t>(container_->pid()));
  event.set_exit_status(process.exit().status);
  *event.mutable_exited_at() = timestamp(process.exit().at);
  events_.publish("/tasks/exit", "containerd.events.TaskExit", event,
                  fmt::format("container {} process {} exited with status {}", config_.id,
                              quote(process.id()), process.exit().status));
}

void TaskService::on_gone() {
  if (managed_ != nullptr && !told_) {
    // A caller whose start has failed asks next with which status.
    linger_timer_ = loop_.after(kLinger, [this] {
      linger_timer_ = 0;
      told();
    });
  }
  end_if_done();
}

void TaskService::told() {
  told_ = true;
  end_if_done();
}

void TaskService::end_if_done() {
  if (ending_) {
    return;
  }
  const bool is_over = container_ != nullptr && container_->is_gone();
  bool may_end = false;
  if (managed_ != nullptr) {
    // Who is connected and has not been told stays connected until it is.
    may_end = create_failed_ ? told_ || is_idle_ : is_over && (told_ || is_idle_);
    if (create_failed_ && !may_end && linger_timer_ == 0) {
      linger_timer_ = loop_.after(kLinger, [this] { told(); });
    }
  } else {
    may_end = shutdown_wanted_ && (container_ == nullptr || is_over);
  }
  if (may_end && events_.queued() == 0) {
    ending_ = true;
    // Answers that are being made leave first.
    loop_.after(std::chrono::nanoseconds(0), [this] { on_end_(); });
  }
}

void TaskService::on_idle() {
  is_idle_ = true;
  if (managed_ != nullptr && container_ != nullptr) {
    const auto first = container_->find("");
    if (first && (*first)->state() == runtime::ProcessState::Created) {
      container_->shut_down("whoever created the container went away before starting it");
    }
  }
  end_if_done();
  is_idle_ = managed_ != nullptr;
}

void TaskService::terminate() {
  if (container_ == nullptr || container_->is_gone()) {
    if (!ending_) {
      ending_ = true;
      on_end_();
    }
    return;
  }
  told_ = true;
  shutdown_wanted_ = true;
  container_->kill("", SIGTERM, runtime::Container::KillScope::Process, [](const Result<>&) {});
  loop_.after(kStopPatience, [this] {
    if (container_ != nullptr && !container_->is_gone()) {
      container_->kill("", SIGKILL, runtime::Container::KillScope::Process, [](const Result<>&) {});
    }
  });
}

void TaskService::leave_standby() {
  loop_.cancel(std::exchange(standby_timer_, 0));
  const auto wanted = std::exchange(standby_wanted_, std::nullopt);
  if (wanted && config_.leave_standby) {
    config_.leave_standby(*wanted);
  }
}

void TaskService::finish() {
  loop_.cancel(linger_timer_);
  container_.reset();
  if (managed_ != nullptr) {
    managed_->finish();
  }
}

void TaskService::wait(task_api::WaitRequest request, Responder<task_api::WaitResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  const bool is_first = request.exec_id().empty();
  (*container)
      ->wait(request.exec_id(), [this, is_first, respond = std::move(respond)](
                                    const Result<runtime::ExitRecord>& exit) mutable {
        if (!exit) {
          respond(exit.error());
          return;
        }
        task_api::WaitResponse response;
        response.set_exit_status(exit->status);
        *response.mutable_exited_at() = timestamp(exit->at);
        respond(response);
        if (is_first) {
          told();
        }
      });
}

void TaskService::delete_(task_api::DeleteRequest request,
                          Responder<task_api::DeleteResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  (*container)
      ->remove(request.exec_id(), [this, exec_id = request.exec_id(), respond = std::move(respond)](
                                      const Result<runtime::ExitRecord>& exit) mutable {
        if (!exit) {
          respond(exit.error());
          return;
        }
        const auto pid = static_cast<std::uint32_t>(container_->pid());
        task_api::DeleteResponse response;
        response.set_pid(pid);
        response.set_exit_status(exit->status);
        *response.mutable_exited_at() = timestamp(exit->at);
        if (exec_id.empty()) {
          deleted_ = true;
          event_types::TaskDelete event;
          event.set_container_id(config_.id);
          event.set_id(config_.id);
          event.set_pid(pid);
          event.set_exit_status(exit->status);
          *event.mutable_exited_at() = timestamp(exit->at);
          events_.publish("/tasks/delete", "containerd.events.TaskDelete", event,
                          fmt::format("container {} deleted", config_.id));
        }
        respond(response);
        if (exec_id.empty()) {
          told();
        }
      });
}

// --- what can be asked meanwhile ---

void TaskService::state(task_api::StateRequest request,
                        Responder<task_api::StateResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  const auto process = (*container)->find(request.exec_id());
  if (!process) {
    respond(process.error());
    return;
  }
  respond(describe(**container, **process));
  if (request.exec_id().empty() && (*process)->state() == runtime::ProcessState::Stopped) {
    told();
  }
}

void TaskService::pids(task_api::PidsRequest request, Responder<task_api::PidsResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  (*container)
      ->processes(
          [respond = std::move(respond)](const Result<std::vector<std::uint32_t>>& pids) mutable {
            if (!pids) {
              respond(pids.error());
              return;
            }
            task_api::PidsResponse response;
            for (const std::uint32_t pid : *pids) {
              response.add_processes()->set_pid(pid);
            }
            respond(response);
          });
}

void TaskService::stats(task_api::StatsRequest request,
                        Responder<task_api::StatsResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  (*container)
      ->statistics([this, respond = std::move(respond)](
                       const Result<agent_client::Statistics>& statistics) mutable {
        if (!statistics) {
          respond(statistics.error());
          return;
        }
        task_api::StatsResponse response;
        response.mutable_stats()->set_type_url(std::string(kMetricsType));
        response.mutable_stats()->set_value(
            to_metrics(*statistics, container_->machine_memory_bytes()).SerializeAsString());
        respond(response);
      });
}

void TaskService::update(task_api::UpdateTaskRequest request, Responder<Empty> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  if (bare_type(request.resources().type_url()) != kResourcesType) {
    respond(fail(ErrorCode::Unsupported, "update: resources of type {} are not supported, only {}",
                 quote(request.resources().type_url()), kResourcesType));
    return;
  }
  const auto resources = oci::Resources::parse(request.resources().value());
  if (!resources) {
    respond(resources.error());
    return;
  }
  (*container)->update(*resources, answer(std::move(respond)));
}

void TaskService::kill(task_api::KillRequest request, Responder<Empty> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    told();
    return;
  }
  const auto first = (*container)->find("");
  const bool was_started = first && (*first)->state() != runtime::ProcessState::Created &&
                           (*first)->state() != runtime::ProcessState::Starting;
  (*container)
      ->kill(request.exec_id(), request.signal(),
             request.all() ? runtime::Container::KillScope::Container
                           : runtime::Container::KillScope::Process,
             answer(std::move(respond)));
  if (!was_started && request.exec_id().empty()) {
    told();  // who kills it before its start knows how it ended
  }
}

void TaskService::exec(task_api::ExecProcessRequest request, Responder<Empty> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  const auto add = [&]() -> Result<> {
    const oci::Process process = BH_TRY(oci::Process::parse(request.spec().value()));
    return (*container)
        ->add_exec(request.exec_id(), process,
                   {.in = request.stdin(), .out = request.stdout(), .err = request.stderr()},
                   request.terminal());
  };
  if (const auto added = add(); !added) {
    respond(added.error());
    return;
  }
  event_types::TaskExecAdded event;
  event.set_container_id(config_.id);
  event.set_exec_id(request.exec_id());
  events_.publish("/tasks/exec-added", "containerd.events.TaskExecAdded", event,
                  fmt::format("container {} exec {} added", config_.id, request.exec_id()));
  respond(Empty());
}

void TaskService::resize_pty(task_api::ResizePtyRequest request, Responder<Empty> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  (*container)
      ->resize(request.exec_id(), request.width(), request.height(), answer(std::move(respond)));
}

void TaskService::close_io(task_api::CloseIORequest request, Responder<Empty> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  const Result<> closed =
      request.stdin() ? (*container)->close_stdin(request.exec_id()) : Result<>();
  closed ? respond(Empty()) : respond(closed.error());
}

void TaskService::connect(task_api::ConnectRequest request,
                          Responder<task_api::ConnectResponse> respond) {
  const auto container = find(request.id());
  if (!container) {
    respond(container.error());
    return;
  }
  task_api::ConnectResponse response;
  response.set_shim_pid(static_cast<std::uint32_t>(os::own_pid()));
  response.set_task_pid(static_cast<std::uint32_t>((*container)->pid()));
  respond(response);
}

void TaskService::shutdown(task_api::ShutdownRequest request, Responder<Empty> respond) {
  respond(Empty());
  // While a task remains only "now" ends the shim.
  if (container_ != nullptr && !deleted_ && !container_->is_gone()) {
    if (!request.now()) {
      return;
    }
    container_->shut_down("its machine was ended by force");
  }
  shutdown_wanted_ = true;
  told();
}

}  // namespace bulkhead::shim
