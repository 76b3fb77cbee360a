#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::guest {

struct EnvironmentDefaults {
  std::string hostname;
  std::string home;
  bool terminal = false;
};

/// What the process gets: the last of variables of the same name, and PATH, HOSTNAME, TERM (with a
/// terminal) and HOME where they are not set, HOME also where it is empty. Entries without "=" or
/// without a name are left out, as docker does. Errors: Invalid for a NUL character, which would
/// cut the value short.
Result<std::vector<std::string>> complete_environment(const std::vector<std::string>& given,
                                                      const EnvironmentDefaults& defaults);

/// The value of `name`, or nothing ("") when it is not set.
std::string_view find_variable(const std::vector<std::string>& environment, std::string_view name);

}  // namespace bulkhead::guest
