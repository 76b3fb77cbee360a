#include "bulkhead/base/log.h"

#include <cstdio>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace bulkhead::log {
namespace {

struct Logger {
  std::mutex mutex;
  Level least = Level::Warning;
  Sink sink;
};

Logger& logger() {
  // The one process-wide object: a log that must be passed everywhere is not used where it matters.
  static Logger instance;
  return instance;
}

std::string escaped(std::string_view line) {
  std::string out;
  out.reserve(line.size());
  for (const char c : line) {
    const auto value = static_cast<unsigned char>(c);
    if (value < 0x20 || value == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", value);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

void configure(Level least, Sink sink) {
  const std::scoped_lock lock(logger().mutex);
  logger().least = least;
  logger().sink = std::move(sink);
}

bool enabled(Level level) { return level >= logger().least; }

std::string_view to_string(Level level) {
  switch (level) {
    case Level::Debug:
      return "debug";
    case Level::Info:
      return "info";
    case Level::Warning:
      return "warning";
    case Level::Error:
      return "error";
  }
  return "error";
}

void write(Level level, std::string_view line) {
  if (!enabled(level)) {
    return;
  }
  const std::string text = escaped(line);
  const std::scoped_lock lock(logger().mutex);
  if (logger().sink) {
    logger().sink(level, text);
  } else {
    // Not fmt::print(): it throws when nobody reads.
    const std::string whole = fmt::format("{}: {}\n", to_string(level), text);
    std::ignore = std::fwrite(whole.data(), 1, whole.size(), stderr);
  }
}

}  // namespace bulkhead::log
