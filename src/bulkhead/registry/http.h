#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::registry {

/// Whether the peer of a connection must prove who it is.
enum class TlsCheck : std::uint8_t { Verify, Skip };

struct HttpRequest {
  std::string method = "GET";
  std::string url;  ///< http or https only
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  TlsCheck tls = TlsCheck::Verify;
};

/// An answer whose head has come; its body is read as it arrives. Redirects are not followed.
/// Reading more slowly than the peer sends holds the peer back.
class HttpResponse {
 public:
  HttpResponse(const HttpResponse&) = delete;
  HttpResponse& operator=(const HttpResponse&) = delete;
  ~HttpResponse();

  [[nodiscard]] int status() const;

  /// The last header of that name, in any case.
  [[nodiscard]] std::optional<std::string> header(std::string_view name) const;

  /// 0 is the end. Errors: Timeout when the peer stalls, Unavailable when the connection breaks,
  /// Corrupt when the body is shorter than was announced.
  Result<std::size_t> read(MutableBytes buffer);

  /// Errors: ResourceExhausted beyond `limit`.
  Result<std::string> read_all(std::size_t limit);

 private:
  friend Result<std::unique_ptr<HttpResponse>> open_http(const HttpRequest& request);

  struct State;

  explicit HttpResponse(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// Sends a request and waits for the head of the answer, whatever its status. Blocks; one thread at
/// a time for each response. Proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
/// Errors: Unavailable (no connection), Unsupported when the peer does not speak TLS,
/// PermissionDenied when its certificate is not good, Timeout, Invalid for a URL that is not http.
Result<std::unique_ptr<HttpResponse>> open_http(const HttpRequest& request);

/// The parts of a URL that decisions about trust are made on.
struct Origin {
  std::string scheme;
  std::string host;  ///< lower case, brackets of IPv6 removed
  std::string port;  ///< always given

  bool operator==(const Origin&) const = default;
};

/// Errors: Invalid.
Result<Origin> origin_of(const std::string& url);

/// `reference` resolved against the URL it came from. Errors: Invalid.
Result<std::string> resolve_url(const std::string& base, const std::string& reference);

/// localhost, 127.0.0.0/8 or ::1: by text, no name is looked up.
bool is_loopback_host(std::string_view host);

/// Percent-encodes a query parameter.
std::string encode_query(std::string_view text);

}  // namespace bulkhead::registry
