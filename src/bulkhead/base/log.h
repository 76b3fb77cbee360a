#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace bulkhead::log {

enum class Level : std::uint8_t { Debug, Info, Warning, Error };

/// Where log lines go: one call a line, without its newline. Called from any thread, one at a time.
using Sink = std::function<void(Level level, std::string_view line)>;

/// Sets level and sink of this process; main() does it once, before threads start. Without it,
/// warnings and errors go to stderr as "level: line".
void configure(Level least, Sink sink);

bool enabled(Level level);

/// Control characters in `line` are escaped: strangers' text cannot forge lines.
void write(Level level, std::string_view line);

std::string_view to_string(Level level);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Debug)) {
    write(Level::Debug, fmt::format(format, std::forward<Args>(args)...));
  }
}

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Info)) {
    write(Level::Info, fmt::format(format, std::forward<Args>(args)...));
  }
}

template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Warning, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace bulkhead::log
