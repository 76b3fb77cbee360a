#include "bulkhead/os/own_process.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

pid_t own_pid() { return ::getpid(); }

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
