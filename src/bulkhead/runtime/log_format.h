#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/base/clock.h"

namespace bulkhead::runtime {

/// Which of a process's outputs.
enum class OutputStream : std::uint8_t { Stdout, Stderr };

std::string_view to_string(OutputStream stream);

/// One line of a container's log (docs/formats/log.md). `text` has no newline; a partial line
/// goes on in the next line of the same stream.
struct LogLine {
  WallTime time;
  OutputStream stream;
  bool partial;
  std::string_view text;
};

/// The longest text that one line carries.
inline constexpr std::size_t kLargestLogText = 16384;

/// Appends "<time> <stream> <P|F> <text>\n". `time` is formatted already.
void append_log_line(std::string& to, std::string_view time, OutputStream stream, bool partial,
                     std::string_view text);

/// Without its newline. Nothing when it is not a log line, such as one torn by a full disk.
std::optional<LogLine> parse_log_line(std::string_view line);

}  // namespace bulkhead::runtime
