#pragma once

#include <functional>
#include <span>
#include <string>
#include <variant>

#include "bulkhead/base/result.h"
#include "bulkhead/program/parse.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

using Command = std::move_only_function<Result<>(store::Store&)>;

using program::Help;

/// Errors: Invalid, with a message for people.
Result<std::variant<Command, Help>> parse_command_line(int argc, const char* const* argv);

/// What the last word of a command line may become. Errors: Io.
Result<> print_candidates(std::span<const std::string> words);

}  // namespace bulkhead::image_cli
