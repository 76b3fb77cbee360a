#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::network {

/// What a resolv.conf says.
struct ResolverConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;

  /// As a resolv.conf.
  [[nodiscard]] std::string text() const;
};

/// Reads a resolv.conf. What is malformed is passed over, and so are name servers on loopback: they
/// are the host's own and mean nothing in a virtual machine. At most 3 servers and 6 searches, as
/// resolvers have it.
ResolverConfig parse_resolver_config(std::string_view text);

/// The host's: /etc/resolv.conf, or systemd-resolved's own file where that names loopback only.
ResolverConfig host_resolver_config();

}  // namespace bulkhead::network
