#include "bulkhead/oci/image_process.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/oci/strings.h"

namespace bulkhead::oci {
namespace {

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

bool has_variable(const std::vector<std::string>& environment, std::string_view name) {
  return std::ranges::any_of(environment,
                             [&](const std::string& one) { return name_of(one) == name; });
}

}  // namespace

void merge_environment(std::vector<std::string>& base, const std::vector<std::string>& wanted) {
  for (const std::string& variable : wanted) {
    const std::string_view name = name_of(variable);
    const auto is_same = [&](const std::string& one) { return name_of(one) == name; };
    if (!variable.contains('=')) {
      std::erase_if(base, is_same);
    } else if (const auto found = std::ranges::find_if(base, is_same); found != base.end()) {
      *found = variable;
    } else {
      base.push_back(variable);
    }
  }
}

Result<> apply_image(const ImageConfig& config, const ProcessOptions& options, Process& process) {
  process.args.clear();
  const std::vector<std::string>* command = &config.command;
  static const std::vector<std::string> kNone;
  if (options.entrypoint) {
    if (!options.entrypoint->empty()) {
      process.args.push_back(*options.entrypoint);
    }
    command = &kNone;
  } else {
    process.args = config.entrypoint;
  }
  if (!options.arguments.empty()) {
    command = &options.arguments;
  }
  process.args.insert(process.args.end(), command->begin(), command->end());
  if (process.args.empty()) {
    return fail(ErrorCode::Invalid,
                "no command: the image names none, so give one after the image's name");
  }
  process.env = config.environment;
  if (!has_variable(process.env, "PATH")) {
    process.env.insert(process.env.begin(), std::string(kDefaultPath));
  }
  process.terminal = options.terminal;
  if (options.terminal && !has_variable(process.env, "TERM")) {
    process.env.emplace_back("TERM=xterm");
  }
  for (const std::string& variable : options.environment) {
    if (name_of(variable).empty()) {
      return fail(ErrorCode::Invalid, "environment variable {}: the name is empty",
                  quote(variable));
    }
  }
  merge_environment(process.env, options.environment);
  const std::string& directory =
      options.working_directory.empty() ? config.working_directory : options.working_directory;
  process.cwd = directory.empty() ? std::string("/") : directory;
  BH_TRY(check_absolute_path(process.cwd, "working directory"));
  process.user.username = options.user.empty() ? config.user : options.user;
  BH_TRY(check_user(process.user.username));
  return check_process_strings(process.args, process.env, "process");
}

}  // namespace bulkhead::oci
