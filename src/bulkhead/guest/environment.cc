#include "bulkhead/guest/environment.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::guest {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

Result<std::vector<std::string>> complete_environment(const std::vector<std::string>& given,
                                                      const EnvironmentDefaults& defaults) {
  std::vector<std::string> environment;
  std::unordered_map<std::string_view, std::size_t> places;  // views of `given`
  environment.reserve(given.size() + 4);
  places.reserve(given.size());
  for (const std::string& entry : given) {
    if (entry.find('\0') != std::string::npos) {
      return fail(ErrorCode::Invalid, "environment variable {}: contains a NUL character",
                  quote(entry));
    }
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      continue;
    }
    const auto [place, is_new] =
        places.emplace(std::string_view(entry).substr(0, equals), environment.size());
    if (is_new) {
      environment.push_back(entry);
    } else {
      environment[place->second] = entry;
    }
  }
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!places.contains(name)) {
      environment.push_back(std::string(name) + "=" + std::string(value));
    }
  };
  add("PATH", kDefaultPath);
  if (!defaults.hostname.empty()) {
    add("HOSTNAME", defaults.hostname);
  }
  if (defaults.terminal) {
    add("TERM", "xterm");
  }
  const auto home = places.find("HOME");
  if (home != places.end() && environment[home->second] == "HOME=") {
    environment[home->second] += defaults.home;
  }
  add("HOME", defaults.home);
  return environment;
}

std::string_view find_variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string_view entry : environment) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

}  // namespace bulkhead::guest
