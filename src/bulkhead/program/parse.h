#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace bulkhead::program {

/// What was asked for instead of a command: help text, for standard output.
struct Help {
  std::string text;
};

/// Reads the words into what the tree's options are bound to, and calls the chosen command's
/// callback; or gives that command's help. `command` is what `--help` goes with, for the message.
/// Errors: Invalid, with a message for people.
Result<std::optional<Help>> parse(CLI::App& app, int argc, const char* const* argv,
                                  std::string_view command);

}  // namespace bulkhead::program
