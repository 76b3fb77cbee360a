#include "bulkhead/os/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::os {

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

Result<TerminalSize> terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) {
    return Error::from_errno("terminal size");
  }
  return TerminalSize{.columns = size.ws_col, .rows = size.ws_row};
}

Result<> set_terminal_size(int fd, TerminalSize size) {
  const winsize native{.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (::ioctl(fd, TIOCSWINSZ, &native) != 0) {
    return Error::from_errno("set terminal size");
  }
  return {};
}

Result<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) != 0) {
    return Error::from_errno("terminal attributes");
  }
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) != 0) {
    return Error::from_errno("raw terminal");
  }
  return RawTerminal(fd, saved);
}

RawTerminal::RawTerminal(RawTerminal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) {
    ::tcsetattr(fd_, TCSADRAIN, &saved_);
  }
}

}  // namespace bulkhead::os
