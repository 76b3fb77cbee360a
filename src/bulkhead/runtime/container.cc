#include "bulkhead/runtime/container.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/host_mounts.h"
#include "bulkhead/runtime/input_relay.h"
#include "bulkhead/runtime/plan.h"
#include "bulkhead/runtime/process.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

constexpr std::uint32_t kKilledStatus = 128 + SIGKILL;
constexpr std::uint32_t kOwnFailureStatus = 125;
constexpr std::size_t kMostProcesses = 257;

std::uint32_t status_of(agent_client::StartFailure failure) {
  switch (failure) {
    case agent_client::StartFailure::NotFound:
      return 127;
    case agent_client::StartFailure::NotExecutable:
      return 126;
    default:
      return kOwnFailureStatus;
  }
}

/// What the default action of a signal is not to end a process.
bool is_harmless(std::uint32_t signal) {
  constexpr std::array kHarmless = {SIGCHLD, SIGCONT, SIGURG,  SIGWINCH,
                                    SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
  return std::ranges::find(kHarmless, static_cast<int>(signal)) != kHarmless.end();
}

/// The same machine with descriptors of its own.
Result<vmm::MachineConfig> duplicate(const vmm::MachineConfig& from) {
  vmm::MachineConfig to{.name = from.name,
                        .vcpus = from.vcpus,
                        .memory_bytes = from.memory_bytes,
                        .kernel = from.kernel,
                        .initramfs = from.initramfs,
                        .is_own_kernel = from.is_own_kernel,
                        .kernel_arguments = from.kernel_arguments,
                        .shares = from.shares,
                        .takes_data_disks = from.takes_data_disks};
  for (const vmm::DataDisk& disk : from.data_disks) {
    os::UniqueFd file = BH_TRY(os::duplicate(disk.file.get()));
    to.data_disks.push_back({.file = std::move(file), .access = disk.access});
  }
  for (const vmm::DiskDevice& disk : from.disks) {
    os::UniqueFd file = BH_TRY(os::duplicate(disk.file.get()));
    to.disks.push_back({.serial = disk.serial, .file = std::move(file), .access = disk.access});
  }
  if (from.network) {
    os::UniqueFd tap = BH_TRY(os::duplicate(from.network->tap.get()));
    to.network =
        vmm::NetworkDevice{.tap = std::move(tap), .mac_address = from.network->mac_address};
  }
  return to;
}

constexpr std::uint32_t kHighestSignal = 64;

}  // namespace

Result<std::unique_ptr<Container>> Container::create(os::EventLoop& loop, Host& host,
                                                     Timing& timing, ContainerConfig config,
                                                     ContainerObserver observer,
                                                     ContainerTimeouts timeouts,
                                                     std::unique_ptr<Standby> standby) {
  std::unique_ptr<Container> container(
      new Container(loop, host, timing, std::move(config), std::move(observer), timeouts));
  BH_TRY(container->set_up(std::move(standby)));
  return container;
}

Container::Container(os::EventLoop& loop, Host& host, Timing& timing, ContainerConfig config,
                     ContainerObserver observer, ContainerTimeouts timeouts)
    : loop_(loop),
      host_(host),
      timing_(timing),
      config_(std::move(config)),
      observer_(std::move(observer)),
      timeouts_(timeouts) {}

Container::~Container() {
  loop_.cancel(boot_timer_);
  loop_.cancel(end_timer_);
  loop_.cancel(gone_timer_);
  loop_.cancel(late_timer_);
  processes_.clear();
  agent_.reset();
  machine_.reset();
  give_back();
}

// --- creation ---

Result<> Container::set_up(std::unique_ptr<Standby> standby) {
  if (!config_.spec.process) {
    return fail(ErrorCode::Invalid, "config.json: there is no process");
  }
  if (!config_.options.log_path.empty()) {
    log_ = BH_TRY(ContainerLog::open(loop_, config_.options.log_path));
  }
  processes_.emplace(
      "", BH_TRY(Process::create(
              loop_,
              {.id = "",
               .stdio = config_.stdio,
               .terminal = config_.terminal,
               .stdin_life = config_.options.stdin_once ? StdinLife::Once : StdinLife::UntilCloseIo,
               .log = log_.get()},
              {})));
  std::optional<StandbyMachine> standing;
  if (standby != nullptr && standby->suits(config_.options, config_.spec)) {
    standing = standby->take();
  }
  standby.reset();
  std::optional<NetworkPlace> place;
  if (standing) {
    place = std::exchange(standing->place, std::nullopt);
    holds_network_ = place.has_value();
  }
  vmm::MachineConfig machine = BH_TRY(machine_config(std::move(place)));
  // Before the machine: what cannot be planned need not boot.
  plan_ = BH_TRY(plan_container(config_.id, config_.spec, config_.options, network_,
                                network_ ? host_.resolver() : network::ResolverConfig{}));
  plan_.mutable_process()->set_terminal(config_.terminal);
  if (standing && host_.is_of_last_shape(machine)) {
    return take_over(*std::move(standing), std::move(machine));
  }
  standing.reset();
  return start_machine(std::move(machine),
                       config_.options.cold ? Host::Origin::Boot : Host::Origin::Template);
}

Result<vmm::MachineConfig> Container::machine_config(std::optional<NetworkPlace> place) {
  const ContainerOptions& options = config_.options;
  std::vector<vmm::Share> shares = BH_TRY(plan_shares(config_.spec, config_.bundle));
  std::vector<vmm::DataDisk> disks = BH_TRY(open_disks(config_.spec, config_.bundle));
  const bool has_disks = !disks.empty();
  machine_memory_bytes_ = options.machine_memory_bytes();
  vmm::MachineConfig machine{.name = config_.id,
                             .vcpus = options.vcpus,
                             .memory_bytes = machine_memory_bytes_,
                             .kernel = options.kernel_path,
                             .initramfs = {},
                             .kernel_arguments = {},
                             .disks = {},
                             .network = std::nullopt,
                             .shares = std::move(shares),
                             .data_disks = std::move(disks),
                             .takes_data_disks = has_disks,
                             .accelerator = std::nullopt};
  os::UniqueFd base =
      BH_TRY(os::open_file(config_.base_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).context("root"));
  if (!BH_TRY(os::file_info(base.get())).is_regular()) {
    return fail(ErrorCode::Invalid, "root {}: not an image file", quote(config_.base_path));
  }
  machine.disks.push_back({.serial = std::string(kBaseSerial),
                           .file = std::move(base),
                           .access = vmm::Access::ReadOnly});
  scratch_is_temporary_ = options.scratch_path.empty();
  scratch_path_ = scratch_is_temporary_ ? config_.bundle + "/scratch.ext4" : options.scratch_path;
  os::UniqueFd scratch = BH_TRY(host_.open_scratch(scratch_path_, options.scratch_bytes,
                                                   scratch_is_temporary_ || options.remove_on_exit
                                                       ? Host::ScratchLife::Container
                                                       : Host::ScratchLife::Kept));
  machine.disks.push_back({.serial = std::string(kScratchSerial),
                           .file = std::move(scratch),
                           .access = vmm::Access::ReadWrite});
  timing_.mark("scratch");
  if (options.network != "none") {
    if (!place) {
      place = BH_TRY(host_.attach_network(options.network, config_.id));
      holds_network_ = true;
    }
    network_ = place->guest;
    machine.network =
        vmm::NetworkDevice{.tap = std::move(place->tap), .mac_address = place->guest.mac_address};
    timing_.mark("network");
  }
  return machine;
}

Result<> Container::start_machine(vmm::MachineConfig config, Host::Origin origin) {
  if (origin == Host::Origin::Template) {
    spare_ = BH_TRY(duplicate(config));
  }
  machine_ = BH_TRY(host_.make_machine(loop_, std::move(config), origin));
  is_restored_ = machine_->is_restored();
  has_stood_by_ = false;
  if (!is_restored_) {
    spare_.reset();
  }
  BH_TRY(machine_->start([this](const vmm::MachineExit& exit) { on_machine_exit(exit); }));
  pid_ = machine_->pid();
  timing_.mark("machine started");
  agent_ = BH_TRY(
      agent_client::Agent::create(loop_, machine_->take_agent_channel(),
                                  {.on_ready = [this] { on_agent_ready(); },
                                   .on_lost = [this](const Error& error) { on_agent_lost(error); }},
                                  timeouts_.agent));
  boot_timer_ =
      loop_.after(spare_ ? timeouts_.restore : timeouts_.boot, [this] { on_boot_timeout(); });
  return {};
}

/// The machine runs already: it is given the container's disks.
Result<> Container::take_over(StandbyMachine standby, vmm::MachineConfig config) {
  spare_ = BH_TRY(duplicate(config));
  machine_ = std::move(standby.machine);
  agent_ = std::move(standby.agent);
  is_restored_ = true;
  has_stood_by_ = true;
  pid_ = machine_->pid();
  machine_->on_exit([this](const vmm::MachineExit& exit) { on_machine_exit(exit); });
  agent_->on_lost([this](const Error& error) { on_agent_lost(error); });
  machine_->exchange_disks(std::move(config.disks), [this](const Result<>& exchanged) {
    if (exchanged) {
      timing_.mark("disks exchanged");
      on_guest_ready();
    } else if (spare_ && !tearing_down_) {
      boot_instead(exchanged.error().message());
    }
  });
  timing_.mark("machine taken over");
  boot_timer_ = loop_.after(timeouts_.restore, [this] { on_boot_timeout(); });
  return {};
}

/// A template that does not come up costs time, not the container.
void Container::boot_instead(std::string_view cause) {
  log::warning("container {}: booting instead of starting from its template: {}", config_.id,
               cause);
  loop_.cancel(std::exchange(boot_timer_, 0));
  agent_.reset();
  machine_.reset();
  vmm::MachineConfig config = *std::move(spare_);
  spare_.reset();
  if (const auto started = start_machine(std::move(config), Host::Origin::Boot); !started) {
    on_machine_exit({.cause = vmm::MachineExit::Cause::Failed,
                     .status = {},
                     .description = started.error().message()});
  }
}

/// Its machine did not come up. One that stood by had.
void Container::drop_template() {
  if (!has_stood_by_) {
    host_.drop_template();
  }
}

// --- what machine and agent say ---

void Container::on_agent_ready() {
  timing_.mark("agent hello");
  on_guest_ready();
}

void Container::on_guest_ready() {
  loop_.cancel(std::exchange(boot_timer_, 0));
  spare_.reset();
  is_guest_ready_ = true;
  if (starting_.contains("")) {
    send_plan();
  }
}

void Container::on_boot_timeout() {
  boot_timer_ = 0;
  if (spare_) {
    drop_template();
    boot_instead("its guest did not answer");
    return;
  }
  lose_guest(fmt::format("the guest did not answer within {} s of its start",
                         std::chrono::ceil<std::chrono::seconds>(timeouts_.boot).count()));
}

void Container::on_agent_lost(const Error& error) {
  if (tearing_down_ || machine_is_gone_ || spare_) {
    return;  // the machine, or its time limit, says more
  }
  if (error.code() != ErrorCode::Unavailable) {
    lose_guest("the guest broke the protocol: " + error.message());
    return;
  }
  // Most likely its machine is gone, and will say better why.
  if (end_timer_ == 0) {
    end_timer_ = loop_.after(timeouts_.cause, [this, message = error.message()] {
      end_timer_ = 0;
      lose_guest("the connection to the guest is lost: " + message);
    });
  }
}

/// The first one is the cause; the rest follows from it.
void Container::blame(std::string cause) {
  if (cause_.empty()) {
    log::warning("container {}: {}", config_.id, cause);
    cause_ = std::move(cause);
  }
}

/// The guest is not to be trusted with an orderly end.
void Container::lose_guest(std::string cause) {
  blame(std::move(cause));
  if (!machine_is_gone_) {
    machine_->kill();
  }
}

void Container::on_machine_exit(const vmm::MachineExit& exit) {
  if (spare_ && !tearing_down_) {
    if (exit.cause != vmm::MachineExit::Cause::Killed) {
      drop_template();
    }
    boot_instead(exit.description);
    return;
  }
  timing_.mark("machine gone");
  mark_machine_timing();
  machine_is_gone_ = true;
  loop_.cancel(std::exchange(boot_timer_, 0));
  loop_.cancel(std::exchange(end_timer_, 0));
  if (tearing_down_ && exit.status.signal != 0 && exit.status.signal != SIGKILL) {
    log::warning("container {}: its machine did not end in order: {}", config_.id,
                 exit.description);
  }
  if (!tearing_down_) {
    blame(exit.description);
    log::debug("console of {}: {}", config_.id, machine_->console_tail());
  }
  tearing_down_ = true;
  // By name: who is told of one's end may forget another.
  std::vector<std::string> left;
  for (const auto& [id, process] : processes_) {
    left.push_back(id);
  }
  for (const std::string& id : left) {
    if (const auto found = lookup(id)) {
      on_machine_lost(**found, exit);
    }
  }
  late_timer_ = loop_.after(timeouts_.late_output, [this] { abandon_exec_output(); });
  give_back();
  check_gone();
}

/// What becomes of a process whose machine is gone.
void Container::on_machine_lost(Process& process, const vmm::MachineExit& exit) {
  switch (process.state()) {
    case ProcessState::Created:
    case ProcessState::Starting: {
      const bool was_killed = exit.cause == vmm::MachineExit::Cause::Killed;
      fail_start(process, was_killed ? kKilledStatus : kOwnFailureStatus,
                 {ErrorCode::Unavailable, cause_.empty() ? exit.description : cause_});
      break;
    }
    case ProcessState::Running:
      end_process(process, kKilledStatus);
      break;
    case ProcessState::Draining:
    case ProcessState::Stopped:
      break;
  }
}

void Container::mark_machine_timing() {
  const vmm::Machine::Timing timing = machine_->timing();
  timing_.mark("machine launched", timing.launched);
  timing_.mark("jail done", timing.executed);
  timing_.mark("qmp greeting", timing.greeted);
}

// --- start ---

Result<Process*> Container::lookup(const std::string& exec_id) {
  const auto found = processes_.find(exec_id);
  if (found == processes_.end()) {
    return fail(ErrorCode::NotFound, "process {} of container {}: not found", quote(exec_id),
                config_.id);
  }
  return found->second.get();
}

Result<const Process*> Container::find(const std::string& exec_id) const {
  const auto found = processes_.find(exec_id);
  if (found == processes_.end()) {
    return fail(ErrorCode::NotFound, "process {} of container {}: not found", quote(exec_id),
                config_.id);
  }
  return found->second.get();
}

void Container::start(const std::string& exec_id, Done<void> done) {
  const auto found = lookup(exec_id);
  if (!found) {
    done(found.error());
    return;
  }
  Process& process = **found;
  if (process.state() != ProcessState::Created || starting_.contains(exec_id)) {
    done(cause_.empty() ? fail(ErrorCode::FailedPrecondition, "start: it has been started already")
                        : Error(ErrorCode::FailedPrecondition, cause_));
    return;
  }
  if (!exec_id.empty() && first().state() != ProcessState::Running) {
    done(fail(ErrorCode::FailedPrecondition, "exec: the container does not run"));
    return;
  }
  starting_.emplace(exec_id, std::move(done));
  if (!exec_id.empty()) {
    send_exec(process);
  } else if (is_guest_ready_) {
    send_plan();
  }
}

void Container::send_plan() {
  Process& process = first();
  const auto prepare = [&]() -> Result<> {
    BH_TRY(process.open_streams(*agent_));
    agent::v1::Process& plan = *plan_.mutable_process();
    plan.set_stdin_stream(process.plan().stdin_stream());
    plan.set_stdout_stream(process.plan().stdout_stream());
    plan.set_stderr_stream(process.plan().stderr_stream());
    if (process.plan().terminal_columns() != 0) {
      plan.set_terminal_columns(process.plan().terminal_columns());
      plan.set_terminal_rows(process.plan().terminal_rows());
    }
    return complete_plan(machine_->mac_address(), plan_);
  };
  if (auto prepared = prepare(); !prepared) {
    fail_start(process, kOwnFailureStatus, std::move(prepared.error()));
    return;
  }
  agent_->start(plan_, [this](Result<agent_client::StartOutcome> outcome) {
    on_start_outcome(first(), std::move(outcome));
  });
  timing_.mark("plan sent");
  plan_.Clear();
}

void Container::send_exec(Process& process) {
  if (auto opened = process.open_streams(*agent_); !opened) {
    fail_start(process, kOwnFailureStatus, std::move(opened.error()));
    return;
  }
  agent::v1::ExecRequest request;
  request.set_exec_id(process.id());
  *request.mutable_process() = process.plan();
  agent_->exec(request, [this, id = process.id()](Result<agent_client::StartOutcome> outcome) {
    if (const auto found = lookup(id)) {
      on_start_outcome(**found, std::move(outcome));
    }
  });
}

void Container::on_start_outcome(Process& process, Result<agent_client::StartOutcome> outcome) {
  if (process.state() != ProcessState::Starting) {
    return;  // given up on meanwhile
  }
  if (!outcome) {
    // The connection's end is dealt with where it is reported. A guest that is slow or lies about a
    // start is in no state that anybody could know.
    if (outcome.error().code() != ErrorCode::Unavailable) {
      lose_guest("start: " + outcome.error().message());
    }
    return;
  }
  for (agent_client::GuestPhase& phase : outcome->phases) {
    timing_.mark_guest(std::move(phase.name), phase.since_boot);
  }
  if (outcome->failure != agent_client::StartFailure::None) {
    fail_start(process, status_of(outcome->failure),
               {ErrorCode::FailedPrecondition, outcome->message});
    return;
  }
  on_started(process);
}

void Container::on_started(Process& process) {
  process.set_running();
  if (process.id().empty()) {
    timing_.mark("started");
    if (!config_.options.cold) {
      host_.leave_template(loop_);
    }
  }
  agent_->wait(process.id(), [this, id = process.id()](Result<agent_client::ProcessEnd> end) {
    if (const auto found = lookup(id)) {
      on_process_end(**found, std::move(end));
    }
  });
  if (observer_.on_started) {
    observer_.on_started(process);
  }
  if (process.resized_while_starting) {
    agent_->resize(process.id(), process.plan().terminal_columns(), process.plan().terminal_rows(),
                   [](const Result<>&) {});
  }
  answer_start(process, {});
}

void Container::answer_start(Process& process, Result<> result) {
  auto node = starting_.extract(process.id());
  if (!node.empty()) {
    node.mapped()(std::move(result));
  }
}

/// It will never have run: everybody who waits for it learns the status.
void Container::fail_start(Process& process, std::uint32_t status, Error error) {
  if (process.id().empty()) {
    blame(error.message());
  }
  process.end(status, wall_now(), [this, id = process.id(), error = std::move(error)]() mutable {
    // The status can be asked for when the answer is there.
    const auto found = lookup(id);
    BH_CHECK(found.has_value());
    on_process_stopped(**found);
    if (const auto again = lookup(id)) {
      answer_start(**again, std::move(error));
    }
  });
}

// --- the end of processes ---

void Container::on_process_end(Process& process, Result<agent_client::ProcessEnd> end) {
  if (process.state() != ProcessState::Running) {
    return;
  }
  if (!end) {
    if (end.error().code() != ErrorCode::Unavailable) {
      lose_guest("wait: " + end.error().message());
    }
    return;
  }
  if (process.id().empty()) {
    timing_.mark("exited");
  }
  if (end->out_of_memory) {
    out_of_memory_ = out_of_memory_ || process.id().empty();
    if (observer_.on_out_of_memory) {
      observer_.on_out_of_memory();
    }
  }
  end_process(process, end->status);
}

void Container::end_process(Process& process, std::uint32_t status) {
  process.end(status, wall_now(), [this, id = process.id()] {
    if (const auto found = lookup(id)) {
      on_process_stopped(**found);
    }
  });
}

void Container::on_process_stopped(Process& process) {
  const bool is_first = process.id().empty();
  if (is_first) {
    timing_.mark("drained");
    if (log_ != nullptr) {
      log_->flush();
    }
  }
  if (observer_.on_exited) {
    observer_.on_exited(process);
  }
  process.announce();
  if (is_first) {
    tear_down();
  }
  check_gone();
}

void Container::wait(const std::string& exec_id, Done<ExitRecord> done) {
  const auto found = lookup(exec_id);
  if (!found) {
    done(found.error());
    return;
  }
  (*found)->wait([done = std::move(done)](ExitRecord exit) mutable { done(exit); });
}

void Container::kill(const std::string& exec_id, std::uint32_t signal, KillScope scope,
                     Done<void> done) {
  const auto found = lookup(exec_id);
  if (!found) {
    done(found.error());
    return;
  }
  if (signal == 0 || signal > kHighestSignal) {
    done(fail(ErrorCode::Invalid, "kill: {} is no signal", signal));
    return;
  }
  Process& process = **found;
  switch (process.state()) {
    case ProcessState::Created:
    case ProcessState::Starting:
      done(kill_unstarted(process, signal));
      return;
    case ProcessState::Draining:
      if (signal == SIGKILL) {
        process.abandon_output();
        done({});
        return;
      }
      [[fallthrough]];
    case ProcessState::Stopped:
      if (signal == SIGKILL && exec_id.empty()) {
        abandon_exec_output();
      }
      done(fail(ErrorCode::NotFound, "kill: the process has ended"));
      return;
    case ProcessState::Running:
      break;
  }
  agent_->signal(exec_id, signal,
                 scope == KillScope::Container ? agent_client::Agent::SignalScope::Container
                                               : agent_client::Agent::SignalScope::Process,
                 [this, exec_id, signal, done = std::move(done)](Result<> result) mutable {
                   if (!result && signal == SIGKILL && exec_id.empty() &&
                       result.error().code() == ErrorCode::Timeout) {
                     lose_guest("the guest does not obey: " + result.error().message());
                     result = {};
                   }
                   done(std::move(result));
                 });
}

Result<> Container::kill_unstarted(Process& process, std::uint32_t signal) {
  const bool is_first = process.id().empty();
  if (!is_first && process.state() == ProcessState::Starting) {
    return fail(ErrorCode::FailedPrecondition, "kill: the process is being started");
  }
  if (is_harmless(signal)) {
    return {};
  }
  if (is_first && !machine_is_gone_) {
    tearing_down_ = true;
    machine_->kill();
  }
  fail_start(process, 128 + signal,
             fail(ErrorCode::Cancelled, "killed by signal {} before it was started", signal));
  return {};
}

// --- the rest of what can be asked ---

Result<> Container::add_exec(const std::string& exec_id, const oci::Process& process,
                             StdioPaths stdio, bool terminal) {
  BH_TRY(validate_name("exec id", exec_id));
  if (processes_.contains(exec_id)) {
    return fail(ErrorCode::AlreadyExists, "exec {}: exists", quote(exec_id));
  }
  if (first().state() != ProcessState::Running) {
    return fail(ErrorCode::FailedPrecondition, "exec: the container does not run");
  }
  if (processes_.size() >= kMostProcesses) {
    return fail(ErrorCode::ResourceExhausted, "exec: {} processes are kept already",
                processes_.size());
  }
  processes_.emplace(exec_id, BH_TRY(Process::create(loop_,
                                                     {.id = exec_id,
                                                      .stdio = std::move(stdio),
                                                      .terminal = terminal,
                                                      .stdin_life = StdinLife::UntilCloseIo,
                                                      .log = nullptr},
                                                     plan_process(process))));
  return {};
}

void Container::resize(const std::string& exec_id, std::uint32_t columns, std::uint32_t rows,
                       Done<void> done) {
  const auto found = lookup(exec_id);
  if (!found) {
    done(found.error());
    return;
  }
  constexpr std::uint32_t kMost = 65535;
  if (columns > kMost || rows > kMost) {
    done(fail(ErrorCode::Invalid, "resize: {} by {} is no terminal's size", columns, rows));
    return;
  }
  Process& process = **found;
  if (process.state() == ProcessState::Created || process.state() == ProcessState::Starting) {
    process.plan().set_terminal_columns(columns);
    process.plan().set_terminal_rows(rows);
    process.resized_while_starting = process.state() == ProcessState::Starting;
    done({});
    return;
  }
  if (process.state() != ProcessState::Running) {
    done(fail(ErrorCode::FailedPrecondition, "resize: the process has ended"));
    return;
  }
  agent_->resize(exec_id, columns, rows, std::move(done));
}

Result<> Container::close_stdin(const std::string& exec_id) {
  BH_TRY(lookup(exec_id))->close_stdin();
  return {};
}

void Container::processes(Done<std::vector<std::uint32_t>> done) {
  if (first().state() != ProcessState::Running) {
    done(fail(ErrorCode::FailedPrecondition, "pids: the container does not run"));
    return;
  }
  agent_->processes(std::move(done));
}

void Container::statistics(Done<agent_client::Statistics> done) {
  if (first().state() != ProcessState::Running) {
    done(fail(ErrorCode::FailedPrecondition, "statistics: the container does not run"));
    return;
  }
  agent_->statistics(std::move(done));
}

void Container::update(const oci::Resources& resources, Done<void> done) {
  if (first().state() != ProcessState::Running) {
    done(fail(ErrorCode::FailedPrecondition, "update: the container does not run"));
    return;
  }
  const auto limits = plan_update(resources, machine_memory_bytes_);
  if (!limits) {
    done(limits.error());
    return;
  }
  agent_->update(*limits, std::move(done));
}

void Container::remove(const std::string& exec_id, Done<ExitRecord> done) {
  const auto found = lookup(exec_id);
  if (!found) {
    done(found.error());
    return;
  }
  Process& process = **found;
  const bool never_started =
      process.state() == ProcessState::Created && !starting_.contains(exec_id);
  if (process.state() != ProcessState::Stopped && !never_started) {
    done(fail(ErrorCode::FailedPrecondition, "delete: the process has not ended"));
    return;
  }
  if (!exec_id.empty()) {
    const ExitRecord exit = process.exit();
    processes_.erase(exec_id);
    done(exit);
    return;
  }
  removing_.push_back(std::move(done));
  if (never_started) {
    shut_down({});
  }
  check_gone();
}

// --- the end ---

void Container::shut_down(std::string cause) {
  if (!cause.empty()) {
    blame(std::move(cause));
  }
  if (!machine_is_gone_) {
    if (first().state() == ProcessState::Created) {
      tearing_down_ = true;
    }
    machine_->kill();
  }
}

void Container::tear_down() {
  if (machine_is_gone_ || std::exchange(tearing_down_, true)) {
    return;
  }
  loop_.cancel(std::exchange(boot_timer_, 0));
  loop_.cancel(std::exchange(end_timer_, 0));
  const bool is_last_use = config_.options.remove_on_exit || scratch_is_temporary_;
  if (is_last_use && std::ranges::none_of(config_.spec.mounts, is_disk)) {
    // Nobody will ever read its own disk again, and another there is not.
    machine_->kill();
    return;
  }
  agent_->shutdown([this](const Result<>& answer) { on_power_off_answer(answer); });
}

void Container::on_power_off_answer(const Result<>& answer) {
  if (machine_is_gone_) {
    return;
  }
  if (!answer) {
    log::warning("container {}: orderly power-off: {}", config_.id, answer.error().message());
    machine_->quit(timeouts_.quit);
    return;
  }
  end_timer_ = loop_.after(timeouts_.power_off, [this] {
    end_timer_ = 0;
    log::warning("container {}: the guest does not power off", config_.id);
    machine_->quit(timeouts_.quit);
  });
}

/// A reader that stalls must not keep the container from being over.
void Container::abandon_exec_output() {
  std::vector<std::string> draining;
  for (const auto& [id, process] : processes_) {
    if (!id.empty() && process->state() == ProcessState::Draining) {
      draining.push_back(id);
    }
  }
  for (const std::string& id : draining) {
    if (const auto found = lookup(id)) {
      (*found)->abandon_output();
    }
  }
}

void Container::give_back() {
  if (std::exchange(holds_network_, false)) {
    host_.detach_network(config_.id);
  }
  if (scratch_is_temporary_ && !scratch_path_.empty()) {
    if (const auto removed = os::remove_file(scratch_path_); !removed) {
      log::warning("scratch disk: {}", removed.error().message());
    }
    scratch_path_.clear();
  }
}

void Container::check_gone() {
  if (!machine_is_gone_ || gone_timer_ != 0) {
    return;
  }
  for (const auto& [id, process] : processes_) {
    if (process->state() != ProcessState::Stopped) {
      return;
    }
  }
  // Not from within a callback of the machine or the agent.
  gone_timer_ = loop_.after(std::chrono::nanoseconds(0), [this] {
    gone_timer_ = 0;
    if (!std::exchange(gone_, true)) {
      loop_.cancel(late_timer_);
      agent_.reset();
      machine_.reset();
      timing_.mark("torn down");
    }
    std::vector<Done<ExitRecord>> removing;
    removing.swap(removing_);
    const ExitRecord exit = first().exit();
    for (auto& done : removing) {
      done(exit);
    }
    if (auto on_gone = std::exchange(observer_.on_gone, nullptr)) {
      on_gone();
    }
  });
}

}  // namespace bulkhead::runtime
