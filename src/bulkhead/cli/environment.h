#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::cli {

/// The caller's value of a variable.
using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

/// "K=V" lines as docker reads them: blank lines and lines that begin with # are passed over, "K"
/// alone takes the caller's value. Errors: Invalid, naming the line.
Result<std::vector<std::string>> parse_environment_file(std::string_view text,
                                                        const Lookup& lookup);

/// What --env-file and -e ask for, in the order in which later ones win: files first. "K" becomes
/// the caller's "K=V", or nothing when the caller has none.
/// Errors: Invalid; NotFound for a file.
Result<std::vector<std::string>> collect_environment(const std::vector<std::string>& files,
                                                     const std::vector<std::string>& variables,
                                                     const Lookup& lookup);

/// getenv.
std::optional<std::string> own_environment(const std::string& name);

}  // namespace bulkhead::cli
