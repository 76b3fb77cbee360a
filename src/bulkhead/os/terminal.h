#pragma once

#include <termios.h>

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

struct TerminalSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;

  bool operator==(const TerminalSize&) const = default;
};

bool is_terminal(int fd);

Result<TerminalSize> terminal_size(int fd);
Result<> set_terminal_size(int fd, TerminalSize size);

/// Puts a terminal into raw mode and back on destruction.
class RawTerminal {
 public:
  static Result<RawTerminal> enter(int fd);

  RawTerminal(RawTerminal&& other) noexcept;
  RawTerminal& operator=(RawTerminal&&) = delete;
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}

  int fd_;
  termios saved_;
};

}  // namespace bulkhead::os
