#pragma once

// The life of one container in its virtual machine.
//
//   create()  address, scratch disk, virtual machine; the guest boots meanwhile
//   start()   waits for the agent and sends it the one plan
//   …         processes run; streams are relayed; execs come and go
//   the end   of the first process: its streams are drained, then everybody is told, then the
//             machine is shut down and everything given back. So it goes too when the machine dies.
//
// One event loop; every callback comes once, unless the container is destroyed before.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/agent_client/agent.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/process.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

struct ContainerConfig {
  std::string id;
  std::string bundle;     ///< directory; the scratch disk is there unless the options name one
  std::string base_path;  ///< the base image
  oci::Spec spec;
  ContainerOptions options;
  StdioPaths stdio;
  bool terminal = false;
};

struct ContainerTimeouts {
  std::chrono::milliseconds boot{30000};      ///< from the machine's start to the agent's greeting
  std::chrono::milliseconds restore{10000};   ///< the same for one from a template
  std::chrono::milliseconds cause{2000};      ///< from a lost connection to the machine's own word
  std::chrono::milliseconds power_off{5000};  ///< from the agent's answer to the machine's end
  std::chrono::milliseconds quit{2000};       ///< after that
  /// How long readers of exec'd processes' output have once the machine is gone.
  std::chrono::milliseconds late_output{10000};
  agent_client::AgentTimeouts agent;
};

/// What a container tells. `on_exited` comes before anybody who waits is told.
struct ContainerObserver {
  std::move_only_function<void(const Process&)> on_started;
  std::move_only_function<void(const Process&)> on_exited;
  std::move_only_function<void()> on_out_of_memory;
  /// The machine is gone, everything is given back, every process has been reported. Last.
  std::move_only_function<void()> on_gone;
};

class Container {
 public:
  template <class T>
  using Done = std::move_only_function<void(Result<T>)>;

  /// Starts the virtual machine. `host` and `timing` outlive the container.
  /// Errors: Invalid, Unsupported, NotFound and so on for what cannot be made; nothing is held
  /// then.
  /// `standby`: a machine of that id that it goes on with, if it can.
  static Result<std::unique_ptr<Container>> create(os::EventLoop& loop, Host& host, Timing& timing,
                                                   ContainerConfig config,
                                                   ContainerObserver observer,
                                                   ContainerTimeouts timeouts = {},
                                                   std::unique_ptr<Standby> standby = nullptr);

  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  /// Kills the machine and gives everything back without a word.
  ~Container();

  /// Errors: FailedPrecondition when it is not Created. When the process cannot be started it is
  /// Stopped with exit status 127 (no such program), 126 (it cannot be executed) or 125 (anything
  /// else) and the answer is FailedPrecondition, or what broke, with the reason.
  void start(const std::string& exec_id, Done<void> done);

  /// Errors: AlreadyExists, FailedPrecondition when the container does not run, ResourceExhausted;
  /// as Process::create.
  Result<> add_exec(const std::string& exec_id, const oci::Process& process, StdioPaths stdio,
                    bool terminal);

  enum class KillScope : std::uint8_t { Process, Container };

  /// Before the start any signal that would end the process ends the container.
  /// SIGKILL is certain: a guest that does not obey loses its machine, output that nobody takes is
  /// dropped.
  /// Errors: NotFound for an unknown process and for one that has ended.
  void kill(const std::string& exec_id, std::uint32_t signal, KillScope scope, Done<void> done);

  void resize(const std::string& exec_id, std::uint32_t columns, std::uint32_t rows,
              Done<void> done);
  Result<> close_stdin(const std::string& exec_id);

  /// Answered when the process has ended and its output is handed over. Errors: NotFound.
  void wait(const std::string& exec_id, Done<ExitRecord> done);

  /// Forgets a process that does not run. For the first one, answered when the machine is gone.
  /// Errors: NotFound; FailedPrecondition when it runs.
  void remove(const std::string& exec_id, Done<ExitRecord> done);

  /// As the container sees them. Errors: FailedPrecondition when it does not run.
  void processes(Done<std::vector<std::uint32_t>> done);

  /// What the guest says that it has used. Errors: FailedPrecondition when it does not run.
  void statistics(Done<agent_client::Statistics> done);

  /// Changes its limits. Errors: FailedPrecondition when it does not run, or for more memory than
  /// its machine has; ResourceExhausted when more stays in use than is to be allowed.
  void update(const oci::Resources& resources, Done<void> done);

  /// The empty id is the first process. Errors: NotFound.
  [[nodiscard]] Result<const Process*> find(const std::string& exec_id) const;

  /// Ends everything now: processes that are left end with status 137.
  void shut_down(std::string cause);

  /// Of the virtual machine's process; stays after it has ended.
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Its machine came from a template.
  [[nodiscard]] bool is_restored() const { return is_restored_; }

  /// And was there before the container was.
  [[nodiscard]] bool has_stood_by() const { return has_stood_by_; }

  [[nodiscard]] bool is_gone() const { return gone_; }

  /// Why it ended, when it was not its process that ended; empty otherwise.
  [[nodiscard]] const std::string& cause() const { return cause_; }

  [[nodiscard]] bool was_out_of_memory() const { return out_of_memory_; }

  [[nodiscard]] const ContainerConfig& config() const { return config_; }

  /// What its machine was made with.
  [[nodiscard]] std::uint64_t machine_memory_bytes() const { return machine_memory_bytes_; }

  /// Nothing for network "none".
  [[nodiscard]] const std::optional<GuestNetwork>& network() const { return network_; }

 private:
  using ProcessMap = std::map<std::string, std::unique_ptr<Process>>;

  Container(os::EventLoop& loop, Host& host, Timing& timing, ContainerConfig config,
            ContainerObserver observer, ContainerTimeouts timeouts);

  Result<> set_up(std::unique_ptr<Standby> standby);
  Result<vmm::MachineConfig> machine_config(std::optional<NetworkPlace> place);
  Result<> start_machine(vmm::MachineConfig config, Host::Origin origin);
  Result<> take_over(StandbyMachine standby, vmm::MachineConfig config);
  void drop_template();
  void boot_instead(std::string_view cause);

  void on_agent_ready();
  void on_guest_ready();
  void on_agent_lost(const Error& error);
  void on_machine_exit(const vmm::MachineExit& exit);
  void on_machine_lost(Process& process, const vmm::MachineExit& exit);
  void on_boot_timeout();

  void send_plan();
  void send_exec(Process& process);
  void on_start_outcome(Process& process, Result<agent_client::StartOutcome> outcome);
  void on_started(Process& process);
  void fail_start(Process& process, std::uint32_t status, Error error);
  void on_process_end(Process& process, Result<agent_client::ProcessEnd> end);
  void end_process(Process& process, std::uint32_t status);
  void on_process_stopped(Process& process);
  Result<> kill_unstarted(Process& process, std::uint32_t signal);
  void answer_start(Process& process, Result<> result);

  void blame(std::string cause);
  void lose_guest(std::string cause);
  void abandon_exec_output();
  void tear_down();
  void on_power_off_answer(const Result<>& answer);
  void give_back();
  void check_gone();
  void mark_machine_timing();

  Result<Process*> lookup(const std::string& exec_id);

  [[nodiscard]] Process& first() { return *processes_.at(""); }

  os::EventLoop& loop_;
  Host& host_;
  Timing& timing_;
  ContainerConfig config_;
  ContainerObserver observer_;
  ContainerTimeouts timeouts_;

  std::unique_ptr<ContainerLog> log_;
  bool scratch_is_temporary_ = false;
  std::string scratch_path_;
  std::optional<GuestNetwork> network_;
  bool holds_network_ = false;
  agent::v1::StartRequest plan_;
  std::uint64_t machine_memory_bytes_ = 0;
  pid_t pid_ = 0;
  bool is_restored_ = false;
  bool has_stood_by_ = false;
  bool is_guest_ready_ = false;  ///< for the plan

  ProcessMap processes_;
  std::map<std::string, Done<void>> starting_;  ///< who waits for a start, by exec id
  std::vector<Done<ExitRecord>> removing_;

  /// To boot with if the guest does not come up from its template; until it has.
  std::optional<vmm::MachineConfig> spare_;
  std::string cause_;
  bool out_of_memory_ = false;
  bool tearing_down_ = false;
  bool machine_is_gone_ = false;
  bool gone_ = false;
  os::EventLoop::TimerId boot_timer_ = 0;
  os::EventLoop::TimerId end_timer_ = 0;
  os::EventLoop::TimerId gone_timer_ = 0;
  os::EventLoop::TimerId late_timer_ = 0;

  // Last: what calls back goes first.
  std::unique_ptr<vmm::Machine> machine_;
  std::unique_ptr<agent_client::Agent> agent_;
};

}  // namespace bulkhead::runtime
