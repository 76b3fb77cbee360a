#include "bulkhead/guest/agent.h"

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/container_root.h"
#include "bulkhead/guest/disks.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/guest/limit_change.h"
#include "bulkhead/guest/network.h"
#include "bulkhead/guest/page_cache.h"
#include "bulkhead/guest/phases.h"
#include "bulkhead/guest/process.h"
#include "bulkhead/guest/rehearsal.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/guest/statistics.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/rpc_transport.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/machine.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/service.h"

namespace bulkhead::guest {
namespace {

namespace v1 = agent::v1;

/// Processes that ended and that nobody has waited for, above which the oldest are forgotten.
constexpr std::size_t kMaxProcesses = 4096;

/// How long the container's processes may take to die of SIGKILL: one that writes to a slow disk
/// does not at once.
constexpr std::chrono::seconds kStopDeadline{5};

/// How long the answer to Shutdown may take to leave.
constexpr std::chrono::milliseconds kSendPause{5};
constexpr int kSendAttempts = 100;

void fill_phases(const Phases& phases, v1::StartResponse& response) {
  for (const auto& [name, nanoseconds] : phases.list()) {
    v1::PhaseTime& phase = *response.add_phases();
    phase.set_name(name);
    phase.set_nanoseconds_since_boot(nanoseconds);
  }
}

Result<> set_clock(const v1::Clock& clock) {
  if (clock.unix_nanoseconds() <= 0) {
    return {};
  }
  return os::set_wall_clock(WallTime(std::chrono::nanoseconds(clock.unix_nanoseconds())));
}

}  // namespace

Agent::Agent(os::EventLoop& loop, Phases phases)
    : loop_(loop), phases_(std::move(phases)), server_(loop) {
  server_.add_service(*this);
}

Result<std::unique_ptr<Agent>> Agent::create(os::EventLoop& loop, os::UniqueFd port,
                                             Phases phases) {
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(phases)));
  Agent* self = agent.get();
  BH_TRY(loop.on_signals({SIGCHLD}, [self](int) { self->reap(); }));
  agent->connection_ = BH_TRY(mux::Connection::create(
      loop, std::move(port), mux::Role::Guest,
      {.on_ready = [self] { self->on_ready(); },
       .on_open = [self](mux::StreamId id) { self->on_stream(id); },
       .on_broken = [self](const Error& error) { self->on_broken(error); }}));
  return agent;
}

/// A new host, or the first. Where the machine was prepared and saved, it is the one that it goes
/// on with: what needs no plan begins.
void Agent::on_ready() {
  if (!preparation_ || !preparation_->has_root()) {
    return;
  }
  root_mount_.begin(preparation_->root());
  if (rehearsal_) {
    if (const auto begun = rehearsal_->begin(); !begun) {
      log::warning("rehearsal: {}", begun.error().message());
    }
  }
}

void Agent::on_stream(mux::StreamId id) {
  if (id != mux::kRpcStream) {
    return;  // it waits for the request that names it
  }
  const auto served = server_.serve(
      mux::make_rpc_transport(connection_->weak_session(), id, mux::StreamOrigin::Attach));
  if (!served) {
    log::error("serve the host: {}", served.error().message());
  }
}

void Agent::on_broken(const Error& error) {
  if (!was_started_ || shutting_down_) {
    return;
  }
  // Nobody is left to whom the container could matter.
  log::warning("the host is gone: {}", error.message());
  shutting_down_ = true;
  stop_container([this] {
    std::ignore = root_mount_.finish();
    unmount_disks();
    log::error("{}", os::restart_machine().message());
  });
}

// --- processes ---

void Agent::reap() {
  while (true) {
    const auto child = os::reap_any_child();
    if (!child || !*child) {
      break;
    }
    const auto found = by_pid_.find((*child)->pid);
    if (found == by_pid_.end()) {
      continue;
    }
    const std::shared_ptr<Process> process = found->second.lock();
    by_pid_.erase(found);
    if (process != nullptr) {
      process->on_exit((*child)->status);
    }
  }
  if (when_stopped_ && by_pid_.empty()) {
    loop_.cancel(stop_timer_);
    std::exchange(when_stopped_, nullptr)();
  }
}

std::shared_ptr<Process> Agent::find(const std::string& id) const {
  if (id.empty()) {
    return first_;
  }
  const auto found = others_.find(id);
  return found == others_.end() ? nullptr : found->second;
}

void Agent::stop_container(std::move_only_function<void()> then) {
  if (by_pid_.empty()) {
    then();
    return;
  }
  when_stopped_ = std::move(then);
  if (const auto killed = cgroup_->kill_all(); !killed) {
    log::warning("{}", killed.error().message());
    if (first_ != nullptr) {
      std::ignore = first_->kill(SIGKILL);
    }
  }
  stop_timer_ = loop_.after(kStopDeadline, [this] {
    log::warning("the container's processes do not end");
    std::exchange(when_stopped_, nullptr)();
  });
}

// --- the service ---

Result<> Agent::make_ready(const v1::PrepareRequest& request) {
  BH_TRY(prepare_network().context("network"));
  cgroup_ = BH_TRY(ContainerCgroup::create());
  BH_TRY(mount_files_directory());
  staged_.emplace(BH_TRY(StagedChild::create(&*cgroup_, request)));
  if (request.has_rehearsal()) {
    rehearsal_.emplace(BH_TRY(Rehearsal::prepare(request).context("rehearsal")));
  }
  preparation_ = request;
  return {};
}

void Agent::prepare(v1::PrepareRequest request, ttrpc::Responder<v1::PrepareResponse> respond) {
  if (was_started_ || cgroup_) {
    respond(fail(ErrorCode::FailedPrecondition, "prepare: too late"));
    return;
  }
  if (const auto ready = make_ready(request); !ready) {
    respond(ready.error());
    return;
  }
  respond(v1::PrepareResponse());
}

Result<> Agent::begin_rehearsal(const v1::StartRequest& plan,
                                std::move_only_function<void(StartOutcome)> on_started) {
  const std::string program = BH_TRY(Rehearsal::program_of(plan));
  root_mount_.begin(plan.root());
  BH_TRY(root_mount_.finish());
  BH_TRY(Rehearsal::fill_root(kContainerRoot, program));
  return launch_first(plan, std::move(on_started));
}

Result<> Agent::undo_rehearsal(Phases phases) {
  rehearsal_.reset();
  first_.reset();
  BH_TRY(root_mount_.undo().context("disks"));
  BH_TRY(renew_files_directory());
  BH_TRY(cgroup_->renew());
  staged_.emplace(BH_TRY(StagedChild::create(&*cgroup_, *preparation_)));
  phases_ = std::move(phases);
  return {};
}

void Agent::rehearse(v1::StartRequest request, ttrpc::Responder<v1::RehearseResponse> respond) {
  if (was_started_ || !staged_ || first_ != nullptr) {
    respond(fail(ErrorCode::FailedPrecondition, "rehearse: the machine is not prepared"));
    return;
  }
  // Shared: one of the paths below answers.
  const auto answer = std::make_shared<ttrpc::Responder<v1::RehearseResponse>>(std::move(respond));
  const auto undo = [this, answer, phases = phases_](const ProcessEnd&) {
    // Not from within the process that is forgotten.
    loop_.after(std::chrono::nanoseconds(0), [this, answer, phases] {
      const auto undone = undo_rehearsal(phases);
      undone ? (*answer)(v1::RehearseResponse()) : (*answer)(undone.error());
    });
  };
  const auto begun = begin_rehearsal(request, [this, answer, undo](const StartOutcome& outcome) {
    if (outcome.failure == v1::START_FAILURE_NONE) {
      first_->when_finished(undo);
    } else {
      (*answer)(fail(ErrorCode::FailedPrecondition, "rehearse: {}", outcome.message));
    }
  });
  if (!begun) {
    (*answer)(begun.error());
  }
}

/// What was rehearsed stays: a standing machine has the network of its container.
Result<> Agent::set_up_network(const v1::Network& network) {
  std::string wanted = network.SerializeAsString();
  if (network_ == wanted && !wanted.empty()) {
    return {};
  }
  BH_TRY(configure_network(network));
  network_ = std::move(wanted);
  return {};
}

Result<> Agent::set_up_machine(const v1::StartRequest& plan) {
  BH_TRY(set_up_network(plan.network()).context("network"));
  phases_.mark("network");
  if (!cgroup_) {
    cgroup_ = BH_TRY(ContainerCgroup::create());
    BH_TRY(mount_files_directory());
  }
  BH_TRY(cgroup_->limit(plan.resources()));
  BH_TRY(write_generated_files(plan));
  phases_.mark("cgroup");
  return {};
}

Result<> Agent::launch(const v1::StartRequest& plan,
                       std::move_only_function<void(StartOutcome)> on_started) {
  first_ = BH_TRY(Process::launch(loop_, connection_->weak_session(), *cgroup_,
                                  {.id = "",
                                   .start = &plan,
                                   .process = &plan.process(),
                                   .hostname = hostname_,
                                   .container = nullptr,
                                   .staged = staged_ ? &*staged_ : nullptr},
                                  std::move(on_started)));
  by_pid_.emplace(first_->pid(), first_);
  phases_.mark("process");
  return {};
}

Result<> Agent::launch_first(const v1::StartRequest& plan,
                             std::move_only_function<void(StartOutcome)> on_started) {
  BH_TRY(set_clock(plan.clock()));
  BH_TRY(os::credit_entropy(as_bytes(plan.entropy())));
  hostname_ = plan.hostname();
  if (staged_ && !staged_->suits(plan)) {
    staged_.reset();
  }
  const bool is_staged = staged_.has_value();
  const auto launch_now = [&] { return launch(plan, std::move(on_started)); };  // once
  root_mount_.begin(plan.root());
  // What needs no disk: the machine, and the first process, if it was staged.
  Result<> begun = set_up_machine(plan);
  if (begun && is_staged) {
    begun = launch_now();
  }
  Result<> mounted = root_mount_.finish();
  BH_TRY(std::move(begun));
  BH_TRY(std::move(mounted));
  BH_TRY(mount_data_disks(plan));
  phases_.mark("disks");
  if (is_staged) {
    staged_.reset();
    return first_->give_root(plan);
  }
  return launch_now();
}

void Agent::start(v1::StartRequest request, ttrpc::Responder<v1::StartResponse> respond) {
  if (std::exchange(was_started_, true)) {
    respond(fail(ErrorCode::FailedPrecondition, "start: the container was started already"));
    return;
  }
  phases_.mark("plan");
  // Shared: one of the two paths below answers.
  const auto answer = std::make_shared<ttrpc::Responder<v1::StartResponse>>(std::move(respond));
  const auto started = launch_first(request, [this, answer](const StartOutcome& outcome) {
    phases_.mark("exec");
    rehearsal_.reset();
    v1::StartResponse response;
    response.set_failure(outcome.failure);
    response.set_message(outcome.message);
    if (outcome.failure == v1::START_FAILURE_NONE) {
      response.set_pid(static_cast<std::uint32_t>(first_->pid()));
      return_page_cache(loop_, *cgroup_);
    } else {
      first_.reset();
    }
    fill_phases(phases_, response);
    (*answer)(response);
  });
  if (!started) {
    first_.reset();
    v1::StartResponse response;
    response.set_failure(v1::START_FAILURE_SETUP);
    response.set_message(started.error().message());
    fill_phases(phases_, response);
    (*answer)(response);
  }
}

void Agent::exec(v1::ExecRequest request, ttrpc::Responder<v1::ExecResponse> respond) {
  if (const auto valid = validate_name("exec id", request.exec_id()); !valid) {
    respond(valid.error());
    return;
  }
  if (first_ == nullptr || first_->has_exited() || shutting_down_) {
    respond(fail(ErrorCode::FailedPrecondition, "exec: the container is not running"));
    return;
  }
  if (others_.contains(request.exec_id())) {
    respond(fail(ErrorCode::AlreadyExists, "exec {}: there is one of that id", request.exec_id()));
    return;
  }
  if (others_.size() >= kMaxProcesses) {
    std::erase_if(others_, [](const auto& other) { return other.second->has_exited(); });
  }
  const auto answer = std::make_shared<ttrpc::Responder<v1::ExecResponse>>(std::move(respond));
  const std::string& id = request.exec_id();
  auto launched =
      Process::launch(loop_, connection_->weak_session(), *cgroup_,
                      {.id = id,
                       .start = nullptr,
                       .process = &request.process(),
                       .hostname = hostname_,
                       .container = first_.get()},
                      [this, answer, id](const StartOutcome& outcome) {
                        v1::ExecResponse response;
                        response.set_failure(outcome.failure);
                        response.set_message(outcome.message);
                        const auto process = others_.find(id);
                        if (outcome.failure != v1::START_FAILURE_NONE) {
                          others_.erase(process);
                        } else {
                          response.set_pid(static_cast<std::uint32_t>(process->second->pid()));
                        }
                        (*answer)(response);
                      });
  if (!launched) {
    v1::ExecResponse response;
    response.set_failure(v1::START_FAILURE_SETUP);
    response.set_message(launched.error().message());
    (*answer)(response);
    return;
  }
  by_pid_.emplace((*launched)->pid(), *launched);
  others_.emplace(id, *std::move(launched));
}

void Agent::wait(v1::WaitRequest request, ttrpc::Responder<v1::WaitResponse> respond) {
  const std::shared_ptr<Process> process = find(request.exec_id());
  if (process == nullptr) {
    respond(fail(ErrorCode::NotFound, "wait: no process {}", quote(request.exec_id())));
    return;
  }
  process->when_finished(
      [this, id = request.exec_id(), respond = std::move(respond)](const ProcessEnd& end) mutable {
        v1::WaitResponse response;
        response.set_exit_code(static_cast<std::uint32_t>(end.status.code));
        response.set_signal(static_cast<std::uint32_t>(end.status.signal));
        response.set_out_of_memory(end.out_of_memory);
        respond(response);
        // Later: several may wait.
        loop_.after(std::chrono::nanoseconds(0), [this, id] { others_.erase(id); });
      });
}

Result<> Agent::deliver_signal(const v1::SignalRequest& request) const {
  if (request.signal() == 0 || request.signal() > static_cast<std::uint32_t>(SIGRTMAX)) {
    return fail(ErrorCode::Invalid, "signal {}: there is no such signal", request.signal());
  }
  const int signal = static_cast<int>(request.signal());
  if (request.all()) {
    if (!cgroup_) {
      return fail(ErrorCode::FailedPrecondition, "signal: the container is not running");
    }
    return signal == SIGKILL ? cgroup_->kill_all() : cgroup_->signal_all(signal);
  }
  const std::shared_ptr<Process> process = find(request.exec_id());
  if (process == nullptr) {
    return fail(ErrorCode::NotFound, "signal: no process {}", quote(request.exec_id()));
  }
  return process->kill(signal);
}

void Agent::signal(v1::SignalRequest request, ttrpc::Responder<v1::SignalResponse> respond) {
  const auto delivered = deliver_signal(request);
  delivered ? respond(v1::SignalResponse()) : respond(delivered.error());
}

void Agent::resize(v1::ResizeRequest request, ttrpc::Responder<v1::ResizeResponse> respond) {
  const std::shared_ptr<Process> process = find(request.exec_id());
  if (process == nullptr) {
    respond(fail(ErrorCode::NotFound, "resize: no process {}", quote(request.exec_id())));
    return;
  }
  const auto resized = process->resize(request.columns(), request.rows());
  resized ? respond(v1::ResizeResponse()) : respond(resized.error());
}

void Agent::processes(v1::ProcessesRequest /*request*/,
                      ttrpc::Responder<v1::ProcessesResponse> respond) {
  v1::ProcessesResponse response;
  if (cgroup_) {
    const auto pids = cgroup_->processes();
    if (!pids) {
      respond(pids.error());
      return;
    }
    response.mutable_pids()->Add(pids->begin(), pids->end());
  }
  respond(response);
}

void Agent::statistics(v1::StatisticsRequest /*request*/,
                       ttrpc::Responder<v1::StatisticsResponse> respond) {
  if (!cgroup_) {
    respond(fail(ErrorCode::FailedPrecondition, "statistics: the container is not running"));
    return;
  }
  const auto statistics = read_statistics(*cgroup_);
  statistics ? respond(*statistics) : respond(statistics.error());
}

void Agent::update(v1::UpdateRequest request, ttrpc::Responder<v1::UpdateResponse> respond) {
  if (!cgroup_ || first_ == nullptr || first_->has_exited() || shutting_down_) {
    respond(fail(ErrorCode::FailedPrecondition, "update: the container is not running"));
    return;
  }
  LimitChange::begin(loop_, *cgroup_, request.resources(),
                     [respond = std::move(respond)](const Result<>& result) mutable {
                       result ? respond(v1::UpdateResponse()) : respond(result.error());
                     });
}

void Agent::shutdown(v1::ShutdownRequest /*request*/,
                     ttrpc::Responder<v1::ShutdownResponse> respond) {
  if (std::exchange(shutting_down_, true)) {
    respond(fail(ErrorCode::FailedPrecondition, "shutdown: under way already"));
    return;
  }
  stop_container([this, respond = std::move(respond)]() mutable {
    std::ignore = root_mount_.finish();
    unmount_disks();
    respond(v1::ShutdownResponse());
    loop_.after(std::chrono::nanoseconds(0), [this] { power_off_when_sent(kSendAttempts); });
  });
}

void Agent::power_off_when_sent(int attempts) {
  if (attempts > 0 && (server_.queued_bytes() != 0 || !connection_->session().output().empty())) {
    loop_.after(kSendPause, [this, attempts] { power_off_when_sent(attempts - 1); });
    return;
  }
  log::error("{}", os::restart_machine().message());
}

}  // namespace bulkhead::guest
