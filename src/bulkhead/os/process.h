#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// How a process ended.
struct ExitStatus {
  int code = 0;    ///< of exit(); meaningless when signal is not 0
  int signal = 0;  ///< that killed it, or 0

  /// As shells count: the code, or 128 + signal.
  [[nodiscard]] int shell_code() const { return signal != 0 ? 128 + signal : code; }

  /// "exited with status 1", "was killed by signal 9 (Killed)"
  [[nodiscard]] std::string describe() const;
};

/// What becomes descriptor `target` in the child.
struct FdMapping {
  int source;
  int target;
};

struct SpawnOptions {
  /// argv[0] is the program; a name without a slash is searched in PATH.
  std::vector<std::string> arguments;
  /// Everything not named here is closed in the child. 0, 1, 2 not named become /dev/null.
  std::vector<FdMapping> descriptors;
  /// Otherwise the environment is inherited.
  std::optional<std::vector<std::string>> environment;
  std::string working_directory;  ///< empty: inherited
  bool new_session = false;
};

/// A child of ours: pid and pidfd. Destroying it neither kills nor reaps.
class Process {
 public:
  /// A child already forked otherwise.
  static Result<Process> adopt(pid_t pid);

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Readable when the process has ended; for the event loop.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  /// A process that has ended already is fine.
  Result<> kill(int signal) const;

  /// Blocks until it ends, and reaps it.
  Result<ExitStatus> wait();

  /// Reaps it if it has ended.
  Result<std::optional<ExitStatus>> try_wait();

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  pid_t pid_;
  UniqueFd pidfd_;
};

/// Errors: NotFound when the program is absent; PermissionDenied when it cannot be executed.
Result<Process> spawn(const SpawnOptions& options);

struct CommandOutput {
  ExitStatus status;
  std::string out;  ///< stdout, at most 16 MiB
  std::string err;  ///< stderr, at most 64 KiB, the rest is dropped
};

/// Runs a short command to its end with `input` as its stdin. Blocks.
Result<CommandOutput> run_command(std::vector<std::string> arguments,
                                  const std::string& input = {});

}  // namespace bulkhead::os
