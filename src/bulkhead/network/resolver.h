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

/// Reads a resolv.conf. What is malformed is passed over, and so are name servers that a guest,
/// which has IPv4 only, cannot reach: IPv6 addresses, 0.0.0.0, and those on loopback, which are the
/// host's own. At most 3 servers and 6 searches, as resolvers have it.
ResolverConfig parse_resolver_config(std::string_view text);

/// Where name servers are looked for, in this order.
struct ResolverFiles {
  std::string administrator = "/etc/bulkhead/resolv.conf";  ///< for containers; need not exist
  std::string host = "/etc/resolv.conf";
  /// What systemd-resolved asks, where the host's own file names its stub on loopback only.
  std::string systemd = "/run/systemd/resolve/resolv.conf";
};

/// What the first of the files says that names a usable server. When none does: public servers,
/// with a warning, and the host's search domains.
ResolverConfig host_resolver_config(const ResolverFiles& files = {});

}  // namespace bulkhead::network
