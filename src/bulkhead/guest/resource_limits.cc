#include "bulkhead/guest/resource_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace bulkhead::guest {
namespace {

struct NamedResource {
  std::string_view name;
  int resource;
};

constexpr std::array kResources = {
    NamedResource{"RLIMIT_AS", RLIMIT_AS},
    NamedResource{"RLIMIT_CORE", RLIMIT_CORE},
    NamedResource{"RLIMIT_CPU", RLIMIT_CPU},
    NamedResource{"RLIMIT_DATA", RLIMIT_DATA},
    NamedResource{"RLIMIT_FSIZE", RLIMIT_FSIZE},
    NamedResource{"RLIMIT_LOCKS", RLIMIT_LOCKS},
    NamedResource{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    NamedResource{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    NamedResource{"RLIMIT_NICE", RLIMIT_NICE},
    NamedResource{"RLIMIT_NOFILE", RLIMIT_NOFILE},
    NamedResource{"RLIMIT_NPROC", RLIMIT_NPROC},
    NamedResource{"RLIMIT_RSS", RLIMIT_RSS},
    NamedResource{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    NamedResource{"RLIMIT_RTTIME", RLIMIT_RTTIME},
    NamedResource{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    NamedResource{"RLIMIT_STACK", RLIMIT_STACK},
};

}  // namespace

std::optional<int> resource_by_name(std::string_view name) {
  const auto found = std::ranges::find(kResources, name, &NamedResource::name);
  return found == kResources.end() ? std::nullopt : std::optional(found->resource);
}

}  // namespace bulkhead::guest
