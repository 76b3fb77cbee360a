#pragma once

#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::registry {

/// The parts of a URL that decisions about trust are made on.
struct Origin {
  std::string scheme;
  std::string host;  ///< lower case, brackets of IPv6 removed
  std::string port;  ///< always given

  bool operator==(const Origin&) const = default;
};

/// Errors: Invalid.
Result<Origin> origin_of(const std::string& url);

/// Host and port as they stand in a URL: "localhost:5000".
std::string authority_of(std::string_view url);

/// `reference` resolved against the URL it came from. Errors: Invalid.
Result<std::string> resolve_url(const std::string& base, const std::string& reference);

/// localhost, 127.0.0.0/8 or ::1: by text, no name is looked up.
bool is_loopback_host(std::string_view host);

/// Percent-encodes a query parameter.
std::string encode_query(std::string_view text);

/// The URL with "name=value" added to its query, the value encoded.
std::string with_query(std::string url, std::string_view name, std::string_view value);

}  // namespace bulkhead::registry
