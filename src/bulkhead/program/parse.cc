#include "bulkhead/program/parse.h"

#include <optional>
#include <string_view>

#include <CLI/CLI.hpp>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::program {

Result<std::optional<Help>> parse(CLI::App& app, int argc, const char* const* argv,
                                  std::string_view command) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Help{app.help()};  // of the subcommand that was chosen
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::Invalid, "{} (see `{} --help`)", error.what(), command);
  }
  return std::nullopt;
}

}  // namespace bulkhead::program
