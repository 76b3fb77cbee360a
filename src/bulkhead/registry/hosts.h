#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/registry/http.h"

namespace bulkhead::registry {

/// One place that a registry's content may be asked of: the registry itself or a mirror.
struct Endpoint {
  std::string base_url;  ///< "https://registry-1.docker.io/v2", without a slash at the end
  bool is_mirror = false;
  bool can_pull = true;     ///< content by digest
  bool can_resolve = true;  ///< manifests by tag
  bool can_push = true;
  TlsOptions tls;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Hosts of token services that may see the password (an extension of ours).
  std::vector<std::string> token_services;
};

/// The registry's own endpoint, where nothing is configured.
Endpoint default_endpoint(const std::string& registry);

/// The endpoints of a registry in the order in which they are tried, the registry itself last.
/// `directory` is where relative file names begin; certificates of authorities are read.
/// Errors: Invalid, naming the key; those of reading the files.
/// Source: containerd docs/hosts.md.
Result<std::vector<Endpoint>> parse_hosts(std::string_view text, const std::string& registry,
                                          const std::string& directory);

/// The same from the first directory that there is: certs.d/HOST below $XDG_CONFIG_HOME/bulkhead
/// (~/.config/bulkhead), /etc/bulkhead and /etc/containerd, where HOST is "docker.io",
/// "host:5000" or "_default". It holds hosts.toml or, as docker has it, *.crt and client
/// certificates *.cert with *.key. $BULKHEAD_CERTS_DIR stands for all three.
Result<std::vector<Endpoint>> find_endpoints(const std::string& registry);

}  // namespace bulkhead::registry
