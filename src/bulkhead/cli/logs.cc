#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/io.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/log_reader.h"

namespace bulkhead::cli {
namespace {

constexpr std::chrono::milliseconds kFollowInterval{50};

/// Prints log lines on the stream that they came from.
class Printer {
 public:
  explicit Printer(bool timestamps) : timestamps_(timestamps) {}

  Result<> print(const runtime::LogLine& line) {
    const bool is_error = line.stream == runtime::OutputStream::Stderr;
    bool& in_line = is_error ? error_in_line_ : output_in_line_;
    std::string text;
    if (timestamps_ && !in_line) {
      text = format_rfc3339(line.time) + " ";
    }
    text += line.text;
    if (!line.partial) {
      text += '\n';
    }
    in_line = line.partial;
    return os::write_all(is_error ? STDERR_FILENO : STDOUT_FILENO, as_bytes(text));
  }

 private:
  bool timestamps_;
  bool output_in_line_ = false;
  bool error_in_line_ = false;
};

/// How many log lines to pass over so that the last `wanted` are left. A line that is cut in parts
/// counts once.
Result<std::size_t> lines_to_skip(const std::string& path, std::size_t wanted) {
  runtime::LogReader reader(path);
  std::vector<std::size_t> starts;  // of whole lines, in log lines
  std::size_t count = 0;
  bool in_line = false;
  BH_TRY(reader.read_available([&](const runtime::LogLine& line) -> Result<> {
    if (!in_line) {
      starts.push_back(count);
    }
    in_line = line.partial;
    ++count;
    return {};
  }));
  if (wanted >= starts.size()) {
    return 0U;
  }
  return wanted == 0 ? count : starts[starts.size() - wanted];
}

/// "all" is nothing.
Result<std::optional<std::size_t>> parse_tail(const std::string& text) {
  if (text == "all") {
    return std::nullopt;
  }
  const auto number = parse_decimal<std::size_t>(text);
  if (!number) {
    return fail(ErrorCode::Invalid, "--tail {}: neither a number nor \"all\"", quote(text));
  }
  return number;
}

}  // namespace

Result<int> logs(const config::Paths& paths, const LogsOptions& options) {
  const auto tail = BH_TRY(parse_tail(options.tail));
  const auto store = BH_TRY(open_containers(paths));
  const auto container = BH_TRY(store.find(options.container));
  const std::string& id = container.record.id;
  const std::string path = store.log_path(id);
  std::size_t skip = tail ? BH_TRY(lines_to_skip(path, *tail)) : 0;
  Printer printer(options.timestamps);
  runtime::LogReader reader(path);
  while (true) {
    // Asked before reading: what a shim wrote before it ended is read after it has ended.
    const bool may_grow = options.follow && store.has_shim(id);
    BH_TRY(reader.read_available([&](const runtime::LogLine& line) -> Result<> {
      if (skip > 0) {
        --skip;
        return {};
      }
      return printer.print(line);
    }));
    if (!may_grow) {
      return 0;
    }
    std::this_thread::sleep_for(kFollowInterval);
  }
}

}  // namespace bulkhead::cli
