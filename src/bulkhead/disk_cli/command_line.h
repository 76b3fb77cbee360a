#pragma once

#include <functional>
#include <string>
#include <variant>

#include "bulkhead/base/result.h"

namespace bulkhead::disk_cli {

using Command = std::move_only_function<Result<>()>;

/// What was asked for instead of a command: help text, for standard output.
struct Help {
  std::string text;
};

/// Errors: Invalid, with a message for people.
Result<std::variant<Command, Help>> parse_command_line(int argc, const char* const* argv);

}  // namespace bulkhead::disk_cli
