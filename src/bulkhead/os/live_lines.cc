#include "bulkhead/os/live_lines.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/terminal.h"

namespace bulkhead::os {
namespace {

constexpr TerminalSize kOldTerminal{.columns = 80, .rows = 24};

/// Columns that a line takes: neither colours ("\x1b[36m") nor continuation bytes of UTF-8 take
/// one.
std::size_t width_of(std::string_view line) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line.substr(i).starts_with("\x1b[")) {
      i = std::min(line.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", i),
                   line.size());
    } else if ((static_cast<unsigned char>(line[i]) & 0xc0U) != 0x80U) {
      ++width;
    }
  }
  return width;
}

std::size_t rows_of_line(std::string_view line, std::uint16_t columns) {
  const std::size_t width = width_of(line);
  return columns == 0 || width == 0 ? 1 : (width + columns - 1) / columns;
}

}  // namespace

bool can_redraw(int fd) {
  const std::string terminal = environment_variable("TERM").value_or("");
  return is_terminal(fd) && !terminal.empty() && terminal != "dumb";
}

TerminalSize LiveLines::size() const {
  const auto size = terminal_size(fd_);
  return size && size->columns != 0 && size->rows != 0 ? *size : kOldTerminal;
}

Result<> LiveLines::draw(std::vector<std::string> lines) {
  const TerminalSize terminal = size();
  // Terminals lay lines out anew when they change their width.
  const std::size_t before = rows_of(drawn_, terminal.columns);
  drawn_ = fit(std::move(lines), terminal);
  return write_all(fd_, as_bytes(redraw(before, drawn_)));
}

std::string redraw(std::size_t before, const std::vector<std::string>& lines) {
  std::string text;
  if (before > 0) {
    text += fmt::format("\x1b[{}A", before);  // up
  }
  for (const std::string& line : lines) {
    text += "\r" + line + "\x1b[K\n";  // and nothing of a longer one before
  }
  return text + "\x1b[J";  // nor of lines that are no more
}

std::size_t rows_of(const std::vector<std::string>& lines, std::uint16_t columns) {
  std::size_t rows = 0;
  for (const std::string& line : lines) {
    rows += rows_of_line(line, columns);
  }
  return rows;
}

std::vector<std::string> fit(std::vector<std::string> lines, TerminalSize size) {
  // The cursor stands below the last line.
  const std::size_t most = size.rows > 2 ? size.rows - 1U : 1U;
  if (rows_of(lines, size.columns) <= most) {
    return lines;
  }
  std::size_t kept = 0;
  for (std::size_t rows = 1; kept < lines.size(); ++kept) {
    rows += rows_of_line(lines[kept], size.columns);
    if (rows > most) {
      break;
    }
  }
  const std::size_t left_out = lines.size() - kept;
  lines.resize(kept);
  lines.push_back(fmt::format("… {} more", left_out));
  return lines;
}

}  // namespace bulkhead::os
