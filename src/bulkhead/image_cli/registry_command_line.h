#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/command_line.h"

namespace bulkhead::image_cli {

/// A command that needs no store.
using RegistryCommand = std::move_only_function<Result<>()>;

/// Whether the first word names one: `bulkhead login`, `logout` and `registry` hand their words on.
bool is_registry_command(std::string_view word);

/// Errors: Invalid, with a message for people.
Result<std::variant<RegistryCommand, Help>> parse_registry_command_line(int argc,
                                                                        const char* const* argv);

/// What the last word of a command line may become. Errors: Io.
Result<> print_registry_candidates(std::span<const std::string> words);

}  // namespace bulkhead::image_cli
