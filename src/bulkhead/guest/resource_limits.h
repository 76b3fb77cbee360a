#pragma once

#include <optional>
#include <string_view>

namespace bulkhead::guest {

/// RLIMIT_NOFILE for "RLIMIT_NOFILE".
std::optional<int> resource_by_name(std::string_view name);

}  // namespace bulkhead::guest
