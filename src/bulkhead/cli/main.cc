#include <csignal>
#include <cstdio>
#include <tuple>
#include <variant>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/command_line.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"

int main(int argc, char** argv) {
  using namespace bulkhead;
  // A reader that has gone is an error of write(), not the end of this program.
  std::ignore = std::signal(SIGPIPE, SIG_IGN);
  auto parsed = cli::parse_command_line(argc, argv);
  if (const int* status = std::get_if<int>(&parsed)) {
    return *status;
  }
  auto& command = std::get<cli::Command>(parsed);
  const auto paths = config::Paths::from_environment();
  const auto status = paths ? command.action(*paths) : Result<int>(paths.error());
  if (!status) {
    // Cancelled: whoever cancelled it has said so, or is the user.
    cli::print_error(status.error());
    return command.failure_status;
  }
  return std::fflush(stdout) == 0 ? *status : command.failure_status;
}
