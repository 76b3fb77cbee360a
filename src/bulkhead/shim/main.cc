// containerd-shim-bulkhead-v2: one process for each container, which owns its virtual machine.

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/shim/arguments.h"
#include "bulkhead/shim/cleanup.h"
#include "bulkhead/shim/daemon.h"
#include "bulkhead/shim/start.h"

namespace bulkhead::shim {
namespace {

constexpr std::size_t kLargestInput = 10U << 20U;

Result<std::string> read_input() {
  return os::is_terminal(STDIN_FILENO) ? Result<std::string>(std::string())
                                       : os::read_to_end(STDIN_FILENO, kLargestInput);
}

Result<> print(std::string_view text) { return os::write_all(STDOUT_FILENO, as_bytes(text)); }

Result<> run(Arguments arguments) {
  if (arguments.action == Action::Version) {
    return print("containerd-shim-bulkhead-v2 " BULKHEAD_VERSION "\n");
  }
  if (arguments.bundle.empty()) {
    arguments.bundle = BH_TRY(os::read_link("/proc/self/cwd"));
  }
  switch (arguments.action) {
    case Action::Start: {
      const std::string input = BH_TRY(read_input().context("start: options"));
      return print(BH_TRY(start(arguments, input)));
    }
    case Action::Delete:
      return print(BH_TRY(clean_up(arguments)));
    case Action::Serve:
    case Action::StandBy:
      return serve(arguments);
    case Action::Version:
      break;
  }
  return {};
}

int main_of_shim(const std::vector<std::string_view>& words) {
  auto arguments = parse_arguments(words);
  const Result<> done = arguments ? run(*std::move(arguments)) : Result<>(arguments.error());
  if (!done) {
    // The daemon's standard error is /dev/null: its log has it too.
    log::error("{}", done.error().message());
    std::ignore = os::write_all(
        STDERR_FILENO,
        as_bytes(fmt::format("containerd-shim-bulkhead-v2: {}\n", done.error().message())));
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace bulkhead::shim

int main(int argc, char** argv) {
  return bulkhead::shim::main_of_shim(std::vector<std::string_view>(argv + 1, argv + argc));
}
