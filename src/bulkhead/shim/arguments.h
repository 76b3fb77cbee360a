#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::shim {

/// What the shim is run to do.
enum class Action : std::uint8_t {
  Start,    ///< containerd: make the daemon, print its address
  Delete,   ///< containerd: clean up after a daemon that is gone
  Serve,    ///< be the daemon; descriptor 3 is the listening socket
  StandBy,  ///< the same, with a machine that is made before the container is known
  Version,  ///< -v
};

/// The command line, as containerd (Go's flag package) writes it.
struct Arguments {
  Action action = Action::Version;
  std::string name_space;
  std::string id;
  std::string bundle;  ///< empty: the working directory
  std::string address;
  std::string publish_binary;
  bool debug = false;
};

/// "-flag value", "-flag=value", one or two dashes, then the action. Errors: Invalid.
Result<Arguments> parse_arguments(std::span<const std::string_view> arguments);

}  // namespace bulkhead::shim
