#include "bulkhead/os/namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <tuple>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
Result<CloneResult> clone_process(const CloneOptions& options) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = options.flags | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (options.cgroup) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<unsigned>(*options.cgroup);
  }
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) {
    return Error::from_errno("clone3");
  }
  return CloneResult{.pid = static_cast<pid_t>(pid), .pidfd = UniqueFd(pid == 0 ? -1 : pidfd)};
}

Result<> join_namespaces(int fd, int flags) {
  if (::setns(fd, flags) != 0) {
    return Error::from_errno("setns");
  }
  return {};
}

Result<> unshare_namespaces(int flags) {
  if (::unshare(flags) != 0) {
    return Error::from_errno("unshare");
  }
  return {};
}

void exit_now(int code) { ::_exit(code); }

Result<> reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    // SIGKILL, SIGSTOP and libc's own two refuse; they are at their defaults.
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) {
    return Error::from_errno("unblock signals");
  }
  return {};
}

Result<> place_descriptor(int source, int target, DescriptorUse use) {
  const int flags = use == DescriptorUse::ClosedOnExec ? O_CLOEXEC : 0;
  if (retry_eintr([&] { return ::dup3(source, target, flags); }) < 0) {
    return Error::from_errno("dup");
  }
  return {};
}

Result<> fill_descriptors(int last) {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
      return Error::from_errno("open /dev/null");
    }
    if (fd > last) {
      ::close(fd);
      return {};
    }
  }
}

void ignore_broken_pipes() { std::ignore = ::signal(SIGPIPE, SIG_IGN); }

void enlarge_pipe(int fd) {
  constexpr int kPipeSize = 1 << 20;
  ::fcntl(fd, F_SETPIPE_SZ, kPipeSize);
}

Result<> close_from(int first) {
  if (::close_range(static_cast<unsigned>(first), ~0U, 0) != 0) {
    return Error::from_errno("close_range");
  }
  return {};
}

Result<> new_session() {
  if (::setsid() < 0) {
    return Error::from_errno("setsid");
  }
  return {};
}

Result<> take_terminal(int fd) {
  if (::ioctl(fd, TIOCSCTTY, 0) != 0) {
    return Error::from_errno("set controlling terminal");
  }
  return {};
}

Result<std::optional<ReapedChild>> reap_any_child() {
  siginfo_t info{};
  const int result =
      retry_eintr([&] { return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL); });
  if (result != 0) {
    if (errno == ECHILD) {
      return std::nullopt;
    }
    return Error::from_errno("wait");
  }
  if (info.si_pid == 0) {
    return std::nullopt;
  }
  const bool exited = info.si_code == CLD_EXITED;
  return ReapedChild{
      .pid = info.si_pid,
      .status = {.code = exited ? info.si_status : 0, .signal = exited ? 0 : info.si_status}};
}

Result<> signal_process(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0 && errno != ESRCH) {
    return Error::from_errno("kill");
  }
  return {};
}

}  // namespace bulkhead::os
