#pragma once

#include <functional>
#include <variant>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"

namespace bulkhead::cli {

/// A command, ready to run.
struct Command {
  std::move_only_function<Result<int>(const config::Paths&)> action;
  int failure_status = 1;  ///< of the program when the action fails: 125 where docker has 125
};

/// The command that the arguments ask for, or the exit status after help, the version or a usage
/// error has been printed.
std::variant<Command, int> parse_command_line(int argc, char** argv);

}  // namespace bulkhead::cli
