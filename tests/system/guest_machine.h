#pragma once

// A virtual machine with our PID 1 in it: QEMU as it comes, a busybox image, an empty scratch disk,
// and the host's side of the guest protocol. No jail, no shim.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest_test {

/// A directory that goes away with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();

  [[nodiscard]] std::string path(std::string_view name) const;

 private:
  std::string path_;
};

/// What the tests need that may be missing; "" when nothing is.
std::string missing_prerequisite();

/// An ext4 image of a busybox tree; `adjust` may change the tree before.
Result<> make_base_image(const TemporaryDirectory& directory, const std::string& image,
                         const std::function<void(const std::string& tree)>& adjust = nullptr);
Result<> make_scratch_disk(const std::string& path);

/// A process of the container, seen from the host.
struct HostProcess {
  std::string id;
  agent_client::StartOutcome outcome;
  std::string out;
  std::string err;
  bool out_ended = false;
  bool err_ended = false;
  std::optional<agent_client::ProcessEnd> end;
  mux::StreamId stdin_stream = 0;
  bool stdin_gone = false;  ///< the guest does not want more
  std::string to_write;     ///< of stdin, what has not left yet
  bool close_stdin = false;
};

class GuestMachine {
 public:
  struct Options {
    std::string base;
    std::string scratch;
    std::vector<std::string> extra;  ///< arguments of QEMU
    int vcpus = 1;
  };

  static Result<std::unique_ptr<GuestMachine>> boot(const Options& options);

  GuestMachine(const GuestMachine&) = delete;
  GuestMachine& operator=(const GuestMachine&) = delete;
  ~GuestMachine();

  /// A plan for `arguments` as root with docker's defaults.
  static agent::v1::StartRequest plan(const std::vector<std::string>& arguments);
  static agent::v1::Process process(const std::vector<std::string>& arguments);

  /// Opens the streams, asks and waits for the answer. With `input`, stdin is a stream.
  std::shared_ptr<HostProcess> start(agent::v1::StartRequest plan,
                                     const std::optional<std::string>& input = std::nullopt);
  std::shared_ptr<HostProcess> exec(agent::v1::Process process,
                                    const std::optional<std::string>& input = std::nullopt);

  /// exec and wait for the end.
  std::shared_ptr<HostProcess> run(agent::v1::Process process,
                                   const std::optional<std::string>& input = std::nullopt);

  /// Output of a shell command in the container; what it writes to stderr too.
  std::string shell(const std::string& command);

  /// Waits for the end.
  void finish(HostProcess& process);

  /// More of stdin; nothing ends it.
  void send(const std::shared_ptr<HostProcess>& process, std::optional<std::string> more);

  Result<> signal(
      const std::string& id, int signal,
      agent_client::Agent::SignalScope scope = agent_client::Agent::SignalScope::Process);
  Result<> resize(const std::string& id, std::uint32_t columns, std::uint32_t rows);
  Result<std::vector<std::uint32_t>> processes();
  Result<agent_client::Statistics> statistics();
  Result<> update(const agent::v1::Resources& limits);

  /// Asks for it and waits until QEMU has ended.
  Result<> shut_down();

  /// The host's end of the channel is closed.
  void disconnect() { agent_.reset(); }

  /// False when `condition` has not come true in time, or the machine has ended.
  bool wait_until(const std::function<bool()>& condition,
                  std::chrono::seconds patience = std::chrono::seconds(60));
  bool wait_for_machine(std::chrono::seconds patience = std::chrono::seconds(60));

  /// What the console said.
  [[nodiscard]] std::string console() const;

  /// Stops reading a process's output: its window is not given back.
  bool stalled = false;

  agent_client::Agent& agent() { return *agent_; }

 private:
  GuestMachine() = default;

  void open_streams(const std::shared_ptr<HostProcess>& host, agent::v1::Process& process,
                    bool with_stdin);
  void pump_input(const std::shared_ptr<HostProcess>& host);
  void wait_for_end(const std::shared_ptr<HostProcess>& host);

  TemporaryDirectory directory_;
  std::unique_ptr<os::EventLoop> loop_;
  std::optional<os::Process> qemu_;
  std::optional<os::ExitStatus> ended_;
  std::unique_ptr<agent_client::Agent> agent_;
  int last_exec_ = 0;

 public:
  std::vector<std::pair<mux::StreamId, std::size_t>> withheld;  ///< windows while stalled
};

}  // namespace bulkhead::guest_test
