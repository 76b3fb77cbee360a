#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"

namespace bulkhead::registry {

/// Whether the peer of a connection must prove who it is.
enum class TlsCheck : std::uint8_t { Verify, Skip };

/// How a TLS peer is spoken to.
struct TlsOptions {
  TlsCheck check = TlsCheck::Verify;
  std::string authorities;       ///< certificates in PEM, believed beside those of the system
  std::string certificate_file;  ///< our own, in PEM; empty: we show none
  std::string key_file;          ///< empty: it is in certificate_file

  bool operator==(const TlsOptions&) const = default;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;  ///< http or https only
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// `upload_bytes` of it are sent instead of `body`; borrowed until the answer's head is there.
  oci::BlobReader* upload = nullptr;
  std::uint64_t upload_bytes = 0;
  TlsOptions tls;
};

struct HttpTimeouts {
  std::chrono::seconds connect{15};
  /// Without news from the peer; a trickle below 1 KiB counts as none.
  std::chrono::seconds stall{30};
  /// For a whole document that is read into memory.
  std::chrono::seconds document{120};

  /// The defaults, with $BULKHEAD_REGISTRY_TIMEOUT seconds (1 to 3600) for a stall.
  static HttpTimeouts from_environment();
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

  /// All of that name, in order.
  [[nodiscard]] std::vector<std::string> headers(std::string_view name) const;

  /// What was asked for.
  [[nodiscard]] const std::string& url() const;

  /// 0 is the end. Errors: Timeout when the peer stalls, Io when the connection breaks, Corrupt
  /// when the body is shorter than was announced.
  Result<std::size_t> read(MutableBytes buffer);

  /// Errors: ResourceExhausted beyond `limit`; Timeout when all of it takes too long.
  Result<std::string> read_all(std::size_t limit);

 private:
  friend class HttpClient;

  struct State;

  explicit HttpResponse(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// Sends requests, over connections that are used again. Blocks. Any number of threads; each
/// response is one thread's at a time and may outlive the client.
///
/// Proxies come from the environment: http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY, all_proxy,
/// no_proxy, NO_PROXY; loopback addresses are always spoken to directly.
class HttpClient {
 public:
  explicit HttpClient(HttpTimeouts timeouts = HttpTimeouts::from_environment());

  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// Sends a request and waits for the head of the answer, whatever its status.
  /// Errors: Unavailable (no connection), Io (the connection broke), Unsupported when the peer does
  /// not speak TLS, PermissionDenied when its certificate is not good, Timeout, ResourceExhausted
  /// for a huge head, Invalid for a URL that is not http; those of request.upload.
  Result<std::unique_ptr<HttpResponse>> open(const HttpRequest& request);

 private:
  friend class HttpResponse;

  class Connections;

  HttpTimeouts timeouts_;
  /// Shared with responses, which give their connection back when they end.
  std::shared_ptr<Connections> connections_;
};

}  // namespace bulkhead::registry
