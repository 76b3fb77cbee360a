#include "bulkhead/registry/client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/http.h"

namespace bulkhead::registry {
namespace {

constexpr int kMostRedirects = 10;
constexpr std::size_t kLargestRefusal = 64U << 10U;
constexpr std::size_t kLargestToken = 1U << 20U;
constexpr std::array<std::chrono::milliseconds, 3> kRetryDelays = {std::chrono::milliseconds(200),
                                                                   std::chrono::milliseconds(800),
                                                                   std::chrono::milliseconds(2000)};

std::string accepted_manifests() {
  std::string accept;
  for (const std::string_view type :
       {oci::kOciIndex, oci::kOciManifest, oci::kDockerIndex, oci::kDockerManifest}) {
    accept += accept.empty() ? "" : ", ";
    accept += type;
  }
  return accept;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_passing(int status) { return status == 500 || (status >= 502 && status <= 504); }

/// "MANIFEST_UNKNOWN: manifest unknown" of a refusal's body, for people.
std::string reason_in(const std::string& body) {
  const auto document = json::parse(body, "answer", {.bytes = kLargestRefusal});
  const json::Value* errors = document ? document->find("errors") : nullptr;
  const json::Array* list = errors == nullptr ? nullptr : errors->as_array();
  if (list == nullptr || list->empty()) {
    return {};
  }
  const json::Value* message = list->front().find("message");
  const std::string* text = message == nullptr ? nullptr : message->as_string();
  return text == nullptr || text->empty() ? std::string() : ": " + quote(*text);
}

ErrorCode code_of_status(int status) {
  switch (status) {
    case 401:
    case 403:
      return ErrorCode::PermissionDenied;
    case 404:
      return ErrorCode::NotFound;
    case 429:
      return ErrorCode::ResourceExhausted;
    default:
      return status >= 500 ? ErrorCode::Unavailable : ErrorCode::Remote;
  }
}

}  // namespace

Result<Client> Client::create(const oci::Reference& reference, Transport transport) {
  Client client(reference, transport);
  const std::string host =
      reference.registry() == "docker.io" ? "registry-1.docker.io" : reference.registry();
  client.base_url_ = "https://" + host;
  BH_TRY(origin_of(client.base_url_));
  return client;
}

bool Client::may_fall_back_to_http() const {
  if (!base_url_.starts_with("https://")) {
    return false;
  }
  const auto origin = origin_of(base_url_);
  return transport_ == Transport::Insecure || (origin && is_loopback_host(origin->host));
}

Error Client::refused(const std::string& what, HttpResponse& response) const {
  const std::string reason = reason_in(response.read_all(kLargestRefusal).value_or(""));
  const int status = response.status();
  if (status == 404) {
    return fail(ErrorCode::NotFound, "{}: not found in {}{}", what, reference_.registry(), reason);
  }
  if (status == 401 || status == 403) {
    return fail(ErrorCode::PermissionDenied,
                "{}: {} refuses access (it may not exist, or needs credentials){}", what,
                reference_.registry(), reason);
  }
  if (status == 429) {
    return fail(ErrorCode::ResourceExhausted, "{}: {} asks to slow down, try again later{}", what,
                reference_.registry(), reason);
  }
  return fail(code_of_status(status), "{}: {} answers {}{}", what, reference_.registry(), status,
              reason);
}

Result<std::unique_ptr<HttpResponse>> Client::open(const std::string& url,
                                                   const std::string& accept) {
  const Origin target = BH_TRY(origin_of(url));
  HttpRequest request{.url = url,
                      .tls = transport_ == Transport::Insecure ? TlsCheck::Skip : TlsCheck::Verify};
  if (!accept.empty()) {
    request.headers.emplace_back("Accept", accept);
  }
  if (!authorization_.empty() && target == BH_TRY(origin_of(base_url_))) {
    request.headers.emplace_back("Authorization", authorization_);
  }
  return open_http(request);
}

Result<std::unique_ptr<HttpResponse>> Client::get_following(std::string url,
                                                            const std::string& accept) {
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    auto response = BH_TRY(open(url, accept));
    const auto location = response->header("location");
    if (!is_redirect(response->status()) || !location) {
      return response;
    }
    std::string next = BH_TRY(resolve_url(url, *location));
    const Origin target = BH_TRY(origin_of(next));
    if (target.scheme == "http" && url.starts_with("https://") &&
        transport_ != Transport::Insecure) {
      return fail(ErrorCode::PermissionDenied, "{}: redirects from https to http {}",
                  reference_.registry(), quote(next));
    }
    url = std::move(next);
  }
  return fail(ErrorCode::Remote, "{}: more than {} redirects", reference_.registry(),
              kMostRedirects);
}

Result<std::string> Client::fetch_token(const Challenge& challenge) {
  const std::string realm = challenge.parameter("realm");
  const Origin service = BH_TRY(origin_of(realm).context("token service"));
  const Origin registry = BH_TRY(origin_of(base_url_));
  if (!may_ask_for_token(service, registry)) {
    return fail(ErrorCode::PermissionDenied, "{}: names a token service without https, {}",
                reference_.registry(), quote(realm));
  }
  std::string url = realm;
  url += realm.contains('?') ? '&' : '?';
  url += "service=" + encode_query(challenge.parameter("service"));
  std::string scope = challenge.parameter("scope");
  if (scope.empty()) {
    scope = "repository:" + reference_.repository() + ":pull";
  }
  url += "&scope=" + encode_query(scope);
  HttpRequest request{.url = url,
                      .tls = transport_ == Transport::Insecure ? TlsCheck::Skip : TlsCheck::Verify};
  if (may_send_credentials(service, registry)) {
    if (const auto credentials = BH_TRY(find_credentials(reference_.registry()))) {
      request.headers.emplace_back("Authorization", "Basic " + *credentials);
    }
  }
  const auto response = BH_TRY(open_http(request));
  if (response->status() != 200) {
    return refused("token for " + reference_.repository(), *response);
  }
  const json::Value answer =
      BH_TRY(json::parse(BH_TRY(response->read_all(kLargestToken)), "token"));
  for (const std::string_view name : {"token", "access_token"}) {
    const json::Value* value = answer.find(name);
    const std::string* token = value == nullptr ? nullptr : value->as_string();
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (token != nullptr && !token->empty() && std::ranges::all_of(*token, printable)) {
      return *token;
    }
  }
  return fail(ErrorCode::Remote, "{}: the token service answers without a token",
              reference_.registry());
}

Result<> Client::authenticate(const HttpResponse& refusal) {
  const auto header = refusal.header("www-authenticate");
  if (!header) {
    return fail(ErrorCode::PermissionDenied, "{}: asks for credentials without saying which",
                reference_.registry());
  }
  const Challenge challenge = BH_TRY(Challenge::parse(*header));
  if (challenge.scheme == "bearer") {
    authorization_ = "Bearer " + BH_TRY(fetch_token(challenge));
    return {};
  }
  if (challenge.scheme == "basic") {
    const auto credentials = BH_TRY(find_credentials(reference_.registry()));
    if (!credentials) {
      return fail(ErrorCode::PermissionDenied,
                  "{}: needs a user name and a password; none are stored in ~/.docker/config.json",
                  reference_.registry());
    }
    authorization_ = "Basic " + *credentials;
    return {};
  }
  return fail(ErrorCode::Unsupported, "{}: asks for the authentication scheme {}",
              reference_.registry(), quote(challenge.scheme));
}

/// One GET with everything that can be mended mended: http where that is allowed, a token where one
/// is asked for, another try where the trouble passes.
Result<std::unique_ptr<HttpResponse>> Client::get(const std::string& path,
                                                  const std::string& accept) {
  bool authenticated = false;
  std::size_t tries = 0;
  while (true) {
    auto response = get_following(base_url_ + path, accept);
    if (!response) {
      const ErrorCode code = response.error().code();
      const bool no_tls = code == ErrorCode::Unsupported ||
                          (transport_ == Transport::Insecure && code == ErrorCode::Unavailable);
      if (no_tls && may_fall_back_to_http()) {
        base_url_.replace(0, std::string_view("https").size(), "http");
        continue;
      }
      if (code == ErrorCode::Unsupported) {
        return std::move(response.error())
            .context("it does not speak TLS (--insecure allows plain http)");
      }
      if (code != ErrorCode::Timeout || tries == kRetryDelays.size()) {
        return std::move(response.error());
      }
    } else if ((*response)->status() == 401 && !authenticated) {
      BH_TRY(authenticate(**response));
      authenticated = true;
      continue;
    } else if (!is_passing((*response)->status()) || tries == kRetryDelays.size()) {
      return response;
    }
    std::this_thread::sleep_for(kRetryDelays.at(tries));
    ++tries;
  }
}

Result<RemoteManifest> Client::manifest(const std::string& tag_or_digest) {
  const auto response = BH_TRY(
      get("/v2/" + reference_.repository() + "/manifests/" + tag_or_digest, accepted_manifests()));
  if (response->status() != 200) {
    return refused(reference_.text(), *response);
  }
  RemoteManifest manifest;
  const std::string type = response->header("content-type").value_or("");
  manifest.media_type = type.substr(0, type.find(';'));
  manifest.content = BH_TRY(response->read_all(oci::kLargestDocument).context(reference_.text()));
  if (const auto header = response->header("docker-content-digest")) {
    if (auto digest = Digest::parse(*header)) {
      manifest.digest_header = *std::move(digest);
    }
  }
  return manifest;
}

Result<std::unique_ptr<HttpResponse>> Client::blob(const Digest& digest) {
  auto response =
      BH_TRY(get("/v2/" + reference_.repository() + "/blobs/" + digest.text(), std::string()));
  if (response->status() != 200) {
    return refused(digest.text(), *response);
  }
  return response;
}

}  // namespace bulkhead::registry
