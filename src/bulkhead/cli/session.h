#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/streams.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::cli {

/// Which process of which container: the first one has an empty exec id.
struct ProcessId {
  std::string container;
  std::string exec;
};

/// Whether signals to this program are passed on to the process.
enum class SignalMode : std::uint8_t { PassOn, Leave };

/// A conversation with the shim of one container about one process: the caller's signals and
/// terminal, and how the process ends.
class Session {
 public:
  /// From here on signals are caught: until attach() the first SIGINT, SIGTERM or SIGHUP ends
  /// whatever the session waits for, with Cancelled.
  static Result<std::unique_ptr<Session>> open(const std::string& socket_path, ProcessId process,
                                               SignalMode signals);

  containerd::task::v2::TaskClient& task() { return task_; }

  /// The signal that ended a wait with Cancelled, or 0.
  [[nodiscard]] int interrupted_by() const { return interrupted_by_; }

  /// Passes standard streams, signals and terminal size on until the process has ended and all of
  /// its output has been written; returns its exit status. The terminal is raw meanwhile, if the
  /// process has one.
  /// Errors: Unavailable when the shim is gone before it told.
  Result<int> attach(Streams& streams, bool terminal);

  /// Waits until the shim closes the connection: it has given everything back.
  void wait_for_end();

 private:
  Session(std::unique_ptr<os::EventLoop> loop, std::unique_ptr<ttrpc::Client> client,
          ProcessId process);

  void on_signal(int signal);
  void send_signal(int signal);
  void send_size();

  std::unique_ptr<os::EventLoop> loop_;
  std::unique_ptr<ttrpc::Client> client_;
  containerd::task::v2::TaskClient task_;
  ProcessId process_;
  bool attached_ = false;
  bool has_terminal_ = false;
  int interrupted_by_ = 0;
};

}  // namespace bulkhead::cli
