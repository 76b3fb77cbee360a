#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"

namespace bulkhead::ttrpc {

/// Keys and values that travel beside a request; a key may come several times.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// The key under which containerd sends its namespace.
inline constexpr std::string_view kNamespaceKey = "containerd-namespace-ttrpc";

struct CallOptions {
  std::chrono::nanoseconds timeout{0};  ///< 0: none
  Metadata metadata;
};

/// What a server knows of a call beside its request.
struct CallContext {
  std::string service;
  std::string method;
  Metadata metadata;
  std::optional<SteadyTime> deadline;

  /// The first value of `key`, or "".
  [[nodiscard]] std::string_view metadata_value(std::string_view key) const {
    for (const auto& [name, value] : metadata) {
      if (name == key) {
        return value;
      }
    }
    return {};
  }
};

}  // namespace bulkhead::ttrpc
