#include "bulkhead/os/own_process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// NOLINTNEXTLINE(readability-redundant-declaration): not every libc declares it
extern "C" char** environ;  // NOLINT(readability-identifier-naming)

namespace bulkhead::os {

pid_t own_pid() { return ::getpid(); }

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

std::optional<std::string> environment_variable(const std::string& name) {
  // Nothing of ours changes the environment.
  const char* value = ::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<> set_idle_priority(pid_t pid) {
  const sched_param parameters{};
  if (::sched_setscheduler(pid, SCHED_IDLE, &parameters) != 0) {
    return Error::from_errno("idle priority");
  }
  return {};
}

Result<> ignore_signal(int signal) {
  if (::signal(signal, SIG_IGN) == SIG_ERR) {  // NOLINT(performance-no-int-to-ptr): libc's macro
    return Error::from_errno("ignore signal");
  }
  return {};
}

Result<UniqueFd> take_inherited(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail(ErrorCode::Invalid, "descriptor {}: was not passed", fd);
  }
  return UniqueFd(fd);
}

}  // namespace bulkhead::os
