#include "bulkhead/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/execute.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

// NOLINTNEXTLINE(readability-redundant-declaration): not every libc declares it
extern "C" char** environ;  // NOLINT(readability-identifier-naming)

namespace bulkhead::os {
namespace {

ExitStatus from_siginfo(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) {
    return {.code = info.si_status, .signal = 0};
  }
  return {.code = 0, .signal = info.si_status};
}

/// posix_spawn's two C objects, released together.
class SpawnSetup {
 public:
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
  }

  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  posix_spawn_file_actions_t* actions() { return &actions_; }

  posix_spawnattr_t* attributes() { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// Sources are first moved above every target, so that no mapping overwrites another's source.
Result<std::vector<UniqueFd>> add_descriptors(const SpawnOptions& options, SpawnSetup& setup) {
  int highest = 2;
  for (const FdMapping& mapping : options.descriptors) {
    highest = std::max(highest, mapping.target);
  }
  std::vector<UniqueFd> moved;
  for (int standard = 0; standard <= 2; ++standard) {
    const bool named = std::ranges::any_of(
        options.descriptors, [&](const FdMapping& mapping) { return mapping.target == standard; });
    if (!named) {
      ::posix_spawn_file_actions_addopen(setup.actions(), standard, "/dev/null", O_RDWR, 0);
    }
  }
  for (const FdMapping& mapping : options.descriptors) {
    const int copy = ::fcntl(mapping.source, F_DUPFD_CLOEXEC, highest + 1);
    if (copy < 0) {
      return Error::from_errno("dup");
    }
    moved.emplace_back(copy);
    ::posix_spawn_file_actions_adddup2(setup.actions(), copy, mapping.target);
  }
  // Targets need not be contiguous: close the gaps too.
  for (int fd = 3; fd <= highest; ++fd) {
    const bool named = std::ranges::any_of(
        options.descriptors, [&](const FdMapping& mapping) { return mapping.target == fd; });
    if (!named) {
      ::posix_spawn_file_actions_addclose(setup.actions(), fd);
    }
  }
  ::posix_spawn_file_actions_addclosefrom_np(setup.actions(), highest + 1);
  return moved;
}

void reset_signals(SpawnSetup& setup, bool new_session) {
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(setup.attributes(), &none);
  ::posix_spawnattr_setsigdefault(setup.attributes(), &all);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (new_session) {
    flags |= POSIX_SPAWN_SETSID;
  }
  ::posix_spawnattr_setflags(setup.attributes(), static_cast<short>(flags));
}

constexpr std::size_t kLargestOutput = 16U << 20U;
constexpr std::size_t kLargestErrors = 64U << 10U;

/// Takes what a pipe has. False at end of file.
Result<bool> drain(int fd, std::string& into, std::size_t limit) {
  std::array<std::byte, 16384> buffer{};
  const std::size_t n = BH_TRY(read_some(fd, buffer));
  const std::size_t room = limit - std::min(limit, into.size());
  into += as_text(std::span(buffer).first(std::min(n, room)));
  return n != 0;
}

Result<UniqueFd> input_for_child(const std::string& input) {
  UniqueFd file = BH_TRY(make_memfd("stdin"));
  BH_TRY(pwrite_all(file.get(), as_bytes(input), 0));
  return file;
}

}  // namespace

std::string ExitStatus::describe() const {
  if (signal != 0) {
    const char* name = ::sigdescr_np(signal);
    return fmt::format("was killed by signal {} ({})", signal, name == nullptr ? "unknown" : name);
  }
  return fmt::format("exited with status {}", code);
}

Result<Process> Process::adopt(pid_t pid) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    return Error::from_errno("pidfd_open");
  }
  return Process(pid, UniqueFd(fd));
}

Result<> Process::kill(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    return Error::from_errno("kill");
  }
  return {};
}

Result<ExitStatus> Process::wait() {
  siginfo_t info{};
  const int result = retry_eintr(
      [&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED); });
  if (result != 0) {
    return Error::from_errno("wait");
  }
  return from_siginfo(info);
}

Result<std::optional<ExitStatus>> Process::try_wait() {
  siginfo_t info{};
  const int result = retry_eintr(
      [&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG); });
  if (result != 0) {
    return Error::from_errno("wait");
  }
  if (info.si_pid == 0) {
    return std::nullopt;
  }
  return from_siginfo(info);
}

Result<Process> spawn(const SpawnOptions& options) {
  SpawnSetup setup;
  const std::vector<UniqueFd> sources = BH_TRY(add_descriptors(options, setup));
  if (!options.working_directory.empty()) {
    ::posix_spawn_file_actions_addchdir_np(setup.actions(), options.working_directory.c_str());
  }
  reset_signals(setup, options.new_session);
  const std::vector<char*> arguments = exec_pointers(options.arguments);
  std::vector<char*> environment;
  if (options.environment) {
    environment = exec_pointers(*options.environment);
  }
  pid_t pid = 0;
  const int error =
      ::posix_spawnp(&pid, options.arguments.front().c_str(), setup.actions(), setup.attributes(),
                     arguments.data(), options.environment ? environment.data() : environ);
  if (error != 0) {
    return Error::from_errno(error, "run " + options.arguments.front());
  }
  return Process::adopt(pid);
}

Result<CommandOutput> run_command(std::vector<std::string> arguments, const std::string& input) {
  const UniqueFd stdin_file = BH_TRY(input_for_child(input));
  Pipe out = BH_TRY(make_pipe());
  Pipe err = BH_TRY(make_pipe());
  Process process = BH_TRY(spawn({.arguments = std::move(arguments),
                                  .descriptors = {{.source = stdin_file.get(), .target = 0},
                                                  {.source = out.write_end.get(), .target = 1},
                                                  {.source = err.write_end.get(), .target = 2}},
                                  .environment = std::nullopt,
                                  .working_directory = {}}));
  out.write_end.reset();
  err.write_end.reset();
  CommandOutput output;
  bool out_open = true;
  bool err_open = true;
  while (out_open || err_open) {
    std::array<pollfd, 2> waits = {{{out_open ? out.read_end.get() : -1, POLLIN, 0},
                                    {err_open ? err.read_end.get() : -1, POLLIN, 0}}};
    if (retry_eintr([&] { return ::poll(waits.data(), waits.size(), -1); }) < 0) {
      return Error::from_errno("poll");
    }
    if (waits[0].revents != 0) {
      out_open = BH_TRY(drain(out.read_end.get(), output.out, kLargestOutput));
    }
    if (waits[1].revents != 0) {
      err_open = BH_TRY(drain(err.read_end.get(), output.err, kLargestErrors));
    }
  }
  output.status = BH_TRY(process.wait());
  return output;
}

}  // namespace bulkhead::os
