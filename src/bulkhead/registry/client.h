#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/http.h"

namespace bulkhead::registry {

/// How a registry is spoken to. https always, except: a registry on a loopback address that does
/// not speak TLS is spoken to over http; with Insecure any other one too, and certificates go
/// unchecked.
enum class Transport : std::uint8_t { Secure, Insecure };

/// A manifest or index as the registry has it. The bytes are not checked against any digest yet.
struct RemoteManifest {
  std::string content;
  std::string media_type;               ///< as the registry calls it, parameters dropped
  std::optional<Digest> digest_header;  ///< Docker-Content-Digest, when it is well formed
};

/// A client of one repository of a registry, with its credentials and token. Blocks. One thread.
/// Source: OCI distribution specification 1.1.
///
/// Credentials come from $DOCKER_CONFIG or ~/.docker/config.json, then podman's auth.json; they are
/// sent to the registry itself and to token services related to it (challenge.h), and to nobody
/// else: a redirect to another origin goes without them.
class Client {
 public:
  /// No traffic yet.
  static Result<Client> create(const oci::Reference& reference, Transport transport);

  /// Errors: NotFound, PermissionDenied, Unavailable, Timeout, ResourceExhausted (asked to slow
  /// down, or a document beyond all bounds), Remote.
  Result<RemoteManifest> manifest(const std::string& tag_or_digest);

  /// The answer with the blob's bytes as its body.
  Result<std::unique_ptr<HttpResponse>> blob(const Digest& digest);

 private:
  Client(oci::Reference reference, Transport transport)
      : reference_(std::move(reference)), transport_(transport) {}

  Result<std::unique_ptr<HttpResponse>> get(const std::string& path, const std::string& accept);
  Result<std::unique_ptr<HttpResponse>> get_following(std::string url, const std::string& accept);
  Result<std::unique_ptr<HttpResponse>> open(const std::string& url, const std::string& accept);
  Result<> authenticate(const HttpResponse& refusal);
  Result<std::string> fetch_token(const Challenge& challenge);
  [[nodiscard]] bool may_fall_back_to_http() const;
  [[nodiscard]] Error refused(const std::string& what, HttpResponse& response) const;

  oci::Reference reference_;
  Transport transport_;
  std::string base_url_;       ///< "https://registry-1.docker.io"
  std::string authorization_;  ///< value of the header; empty until asked for
};

}  // namespace bulkhead::registry
