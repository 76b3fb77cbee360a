#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {

/// One challenge of a WWW-Authenticate header.
/// Source: RFC 9110 section 11.6.1; distribution, "Token Authentication Specification".
struct Challenge {
  std::string scheme;                             ///< lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  ///< names in lower case

  /// All of one header. Errors: Invalid for what is malformed or longer than 8 KiB.
  static Result<std::vector<Challenge>> parse(std::string_view header);

  [[nodiscard]] std::string parameter(const std::string& name) const;
};

/// Whether a token service at `realm` may be asked on behalf of the registry at `registry`. https
/// always may; http only where the registry itself is spoken to over http, on the same host.
bool may_ask_for_token(const Origin& realm, const Origin& registry);

/// Whether a token service may be shown the credentials that are meant for the registry: the same
/// host, a parent of it (gitlab.com of registry.gitlab.com), or Docker Hub's own; over https unless
/// both are the same origin.
bool may_send_credentials(const Origin& realm, const Origin& registry);

}  // namespace bulkhead::registry
