#include "bulkhead/cli/environment.h"

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file.h"

namespace bulkhead::cli {
namespace {

/// Adds "K=V", or the caller's value of "K". False when there is no name.
bool add_variable(std::vector<std::string>& out, std::string_view variable, const Lookup& lookup) {
  const auto equals = variable.find('=');
  if (variable.empty() || equals == 0) {
    return false;
  }
  if (equals != std::string_view::npos) {
    out.emplace_back(variable);
    return true;
  }
  std::string name(variable);
  if (const auto value = lookup(name)) {
    out.push_back(name + "=" + *value);
  }
  return true;
}

}  // namespace

Result<std::vector<std::string>> parse_environment_file(std::string_view text,
                                                        const Lookup& lookup) {
  std::vector<std::string> out;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    while (line.starts_with(' ') || line.starts_with('\t')) {
      line.remove_prefix(1);
    }
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    const std::string_view name = line.substr(0, line.find('='));
    if (name.contains(' ') || name.contains('\t') || !add_variable(out, line, lookup)) {
      return fail(ErrorCode::Invalid, "line {}: {} is not K=V", number, quote(line));
    }
  }
  return out;
}

Result<std::vector<std::string>> collect_environment(const std::vector<std::string>& files,
                                                     const std::vector<std::string>& variables,
                                                     const Lookup& lookup) {
  std::vector<std::string> out;
  for (const std::string& file : files) {
    const std::string text = BH_TRY(os::read_file(file, 1U << 20U).context("--env-file"));
    for (std::string& variable :
         BH_TRY(parse_environment_file(text, lookup).context("--env-file " + file))) {
      out.push_back(std::move(variable));
    }
  }
  for (const std::string& variable : variables) {
    if (!add_variable(out, variable, lookup)) {
      return fail(ErrorCode::Invalid, "-e {}: not K=V", quote(variable));
    }
  }
  return out;
}

std::optional<std::string> own_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) {
    return std::nullopt;
  }
  return std::string(value);
}

}  // namespace bulkhead::cli
