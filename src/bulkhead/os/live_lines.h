#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/terminal.h"

namespace bulkhead::os {

/// Whether lines can be drawn over there: a terminal, and one that moves its cursor when told to.
bool can_redraw(int fd);

/// Lines on a terminal that are drawn again and again in the same place.
class LiveLines {
 public:
  explicit LiveLines(int fd) : fd_(fd) {}

  /// Asked each time, so that a window may change its size; 80 by 24 where it has none.
  [[nodiscard]] TerminalSize size() const;

  /// In the place of what was drawn before. Of more lines than the terminal has room for the last
  /// ones are only counted.
  Result<> draw(std::vector<std::string> lines);

  /// What was drawn stays; the next lines come below it.
  void leave() { drawn_.clear(); }

 private:
  int fd_;
  std::vector<std::string> drawn_;
};

/// The escape sequences that put `lines` in the place of the `before` rows that stand above the
/// cursor, which is at the beginning of a row before and after.
std::string redraw(std::size_t before, const std::vector<std::string>& lines);

/// How many rows the lines take on a terminal that goes on in the next row with what is too long.
std::size_t rows_of(const std::vector<std::string>& lines, std::uint16_t columns);

/// As many lines as fit, and one that says how many do not.
std::vector<std::string> fit(std::vector<std::string> lines, TerminalSize size);

}  // namespace bulkhead::os
