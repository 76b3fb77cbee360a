#include "bulkhead/os/pseudo_terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

Result<PseudoTerminal> open_pseudo_terminal(UniqueFd controller, TerminalSize size) {
  const FileInfo info = BH_TRY(file_info(controller.get()));
  if (!S_ISCHR(info.mode) || info.special != ::makedev(5, 2) ||
      BH_TRY(file_system_type(controller.get())) != DEVPTS_SUPER_MAGIC) {
    return fail(ErrorCode::PermissionDenied, "pseudo terminal: not the ptmx of a devpts");
  }
  const int unlocked = 0;
  if (::ioctl(controller.get(), TIOCSPTLCK, &unlocked) != 0) {
    return Error::from_errno("unlock pseudo terminal");
  }
  UniqueFd terminal(::ioctl(controller.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.is_open()) {
    return Error::from_errno("open pseudo terminal");
  }
  BH_TRY(set_terminal_size(controller.get(), size));
  return PseudoTerminal{.controller = std::move(controller), .terminal = std::move(terminal)};
}

}  // namespace bulkhead::os
