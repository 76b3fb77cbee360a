#include "bulkhead/registry/client.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/authorizer.h"
#include "bulkhead/registry/client_host.h"
#include "bulkhead/registry/content_range.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/hosts.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/retry.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

constexpr int kMostRedirects = 10;
constexpr std::size_t kLargestRefusal = 64U << 10U;

std::string accepted_manifests() {
  std::string accept;
  for (const std::string_view type :
       {oci::kOciIndex, oci::kOciManifest, oci::kDockerIndex, oci::kDockerManifest}) {
    accept += accept.empty() ? "" : ", ";
    accept += type;
  }
  return accept;
}

/// What is not GET or HEAD is sent again only where the peer says that it may be.
bool is_redirect(int status, const std::string& method) {
  const bool reads = method == "GET" || method == "HEAD";
  return status == 307 || status == 308 ||
         (reads && (status == 301 || status == 302 || status == 303));
}

bool is_passing(int status) {
  return status == 429 || status == 500 || (status >= 502 && status <= 504);
}

bool is_passing(ErrorCode code) {
  return code == ErrorCode::Io || code == ErrorCode::Timeout || code == ErrorCode::Corrupt;
}

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

/// What credentials for an endpoint are stored under.
std::string credentials_name(const Endpoint& endpoint, const std::string& registry) {
  if (!endpoint.is_mirror) {
    return registry;
  }
  std::string name = authority_of(endpoint.base_url);
  return name == "registry-1.docker.io" ? "docker.io" : name;
}

}  // namespace

Client::Client(oci::Reference reference, ClientOptions options)
    : reference_(std::move(reference)), options_(std::move(options)) {}

Client::~Client() = default;

Result<std::shared_ptr<Client>> Client::create(const oci::Reference& reference,
                                               ClientOptions options) {
  // Shared with the readers of blobs, which may outlive whoever asked for them.
  std::shared_ptr<Client> client(new Client(reference, std::move(options)));
  std::vector<Endpoint> endpoints =
      BH_TRY(find_endpoints(reference.registry()).context(reference.registry()));
  const bool is_trial = client->options_.credentials.has_value();
  for (Endpoint& endpoint : endpoints) {
    if (endpoint.is_mirror && is_trial) {
      continue;
    }
    BH_TRY(origin_of(endpoint.base_url));
    if (client->options_.transport == Transport::Insecure) {
      endpoint.tls.check = TlsCheck::Skip;
    }
    Authorizer::Options authorization{
        .name = credentials_name(endpoint, reference.registry()),
        .tls = endpoint.tls,
        .token_services = endpoint.token_services,
    };
    if (is_trial) {
      authorization.lookup = [given = client->options_.credentials] { return given; };
    } else {
      authorization.lookup = [name = authorization.name, repository = reference.repository()] {
        return CredentialStore::from_environment().find(name, repository);
      };
    }
    client->hosts_.push_back(
        std::make_unique<Host>(client->http_, std::move(endpoint), std::move(authorization)));
  }
  return client;
}

std::string Client::repository_path(std::string_view rest) const {
  std::string path = "/" + reference_.repository() + "/";
  path += rest;
  return path;
}

std::string Client::scope() const {
  const std::string_view actions = options_.access == Access::Pull   ? ":pull"
                                   : options_.access == Access::Push ? ":pull,push"
                                                                     : ":delete,pull";
  std::string scope = "repository:" + reference_.repository();
  scope += actions;
  return scope;
}

Error Client::refused(const Host& host, const std::string& what, HttpResponse& response) const {
  const std::string reason = reason_in(response.read_all(kLargestRefusal).value_or(""));
  const int status = response.status();
  if (status == 404) {
    return fail(ErrorCode::NotFound, "{}: not found in {}{}", what, host.name(), reason);
  }
  if (status == 401 || status == 403) {
    return fail(ErrorCode::PermissionDenied,
                "{}: {} refuses access (it may not exist, or needs credentials: bulkhead login "
                "{}){}",
                what, host.name(), reference_.registry(), reason);
  }
  if (status == 429) {
    const auto wait = retry_after(response);
    return fail(ErrorCode::ResourceExhausted, "{}: {} asks to slow down, try again {}{}", what,
                host.name(), wait ? fmt::format("in {} seconds", wait->count()) : "later", reason);
  }
  return fail(code_of_status(status), "{}: {} answers {}{}", what, host.name(), status, reason);
}

Result<std::unique_ptr<HttpResponse>> Client::send(Host& host, const Call& call) {
  const Origin own = BH_TRY(origin_of(host.base_url()));
  const Origin target = BH_TRY(origin_of(call.target));
  HttpRequest request{.method = call.method,
                      .url = call.target,
                      .headers = call.headers,
                      .body = call.body,
                      .upload_bytes = call.upload_bytes,
                      .tls = host.endpoint().tls};
  if (target == own) {
    request.headers.insert(request.headers.end(), host.endpoint().headers.begin(),
                           host.endpoint().headers.end());
  } else if (target.host != own.host) {
    request.tls = {
        .check = options_.transport == Transport::Insecure ? TlsCheck::Skip : TlsCheck::Verify,
        .authorities = host.endpoint().tls.authorities};
  }
  std::unique_ptr<oci::BlobReader> upload;
  if (call.upload) {
    upload = BH_TRY(call.upload());
    request.upload = upload.get();
  }
  return http_.open(request);
}

/// `call.target` is a whole URL here.
Result<std::unique_ptr<HttpResponse>> Client::send_following(Host& host, const Call& call) {
  const Origin own = BH_TRY(origin_of(host.base_url()));
  Call hop = call;
  for (int count = 0; count <= kMostRedirects; ++count) {
    auto response = BH_TRY(send(host, hop));
    const auto location = response->header("location");
    if (!is_redirect(response->status(), call.method) || !location) {
      return response;
    }
    std::string next = BH_TRY(resolve_url(hop.target, *location).context(host.name()));
    const Origin target = BH_TRY(origin_of(next).context(host.name()));
    if (target.scheme == "http" && hop.target.starts_with("https://") &&
        options_.transport != Transport::Insecure) {
      return fail(ErrorCode::PermissionDenied, "{}: redirects from https to http {}", host.name(),
                  quote(next));
    }
    if (target != own) {
      // Who was not meant is not shown who we are, not even after a way back.
      std::erase_if(hop.headers,
                    [](const auto& header) { return header.first == "Authorization"; });
    }
    hop.target = std::move(next);
  }
  return fail(ErrorCode::Remote, "{}: more than {} redirects", host.name(), kMostRedirects);
}

/// Over http where that is allowed and needed, with what the host asks for to let us in.
Result<std::unique_ptr<HttpResponse>> Client::send_authorized(Host& host, const Call& call) {
  bool has_learnt = false;
  while (true) {
    Call whole = call;
    if (call.target.starts_with('/')) {
      whole.target = host.base_url() + call.target;
      if (host.endpoint().is_mirror) {
        whole.target = with_query(std::move(whole.target), "ns", reference_.registry());
      }
    }
    const Origin own = BH_TRY(origin_of(host.base_url()));
    const Origin target = BH_TRY(origin_of(whole.target));
    std::string authorization;
    if (target == own) {
      authorization = BH_TRY(host.authorizer().header(own, call.scope));
    }
    if (!authorization.empty()) {
      whole.headers.emplace_back("Authorization", authorization);
    }
    auto response = send_following(host, whole);
    if (!response) {
      const ErrorCode code = response.error().code();
      const bool is_insecure = options_.transport == Transport::Insecure;
      // Another thread may have found it out meanwhile.
      const bool may_be_plain = own.scheme == "https" && call.target.starts_with('/') &&
                                (is_insecure || is_loopback_host(own.host));
      if (may_be_plain &&
          (code == ErrorCode::Unsupported || (is_insecure && code == ErrorCode::Unavailable))) {
        host.make_plain();
        continue;
      }
      if (code == ErrorCode::Unsupported) {
        return std::move(response.error())
            .context("it does not speak TLS (--insecure allows plain http)");
      }
      return std::move(response.error());
    }
    if ((*response)->status() != 401 || has_learnt) {
      return response;
    }
    const Origin refuser = BH_TRY(origin_of((*response)->url()));
    if (refuser != own) {
      return response;  // a redirect led there: what it asks for is none of ours
    }
    BH_TRY(host.authorizer().learn(own, **response, call.scope, authorization));
    has_learnt = true;
  }
}

/// `consume`, called with a success, may fail with what passes too: then all of it is tried again.
Result<std::unique_ptr<HttpResponse>> Client::exchange(Host& host, const Call& call,
                                                       const Consume& consume) {
  Backoff backoff;
  while (true) {
    auto response = send_authorized(host, call);
    std::optional<std::chrono::seconds> told;
    if (response && !is_passing((*response)->status())) {
      if (!consume || !is_success((*response)->status())) {
        return response;
      }
      Result<> consumed = consume(**response);
      if (consumed) {
        return response;
      }
      response = std::move(consumed).error();
    } else if (response) {
      told = retry_after(**response);
    }
    if (!response && !is_passing(response.error().code())) {
      return response;
    }
    auto wait = call.is_tried_again ? backoff.next(told) : std::nullopt;
    if (wait && !response && response.error().code() == ErrorCode::Timeout) {
      wait = backoff.next(told);  // has cost enough time: counts twice
    }
    if (!wait) {
      return response;
    }
    std::this_thread::sleep_for(*wait);
  }
}

/// What the first host gives that may be asked and has it.
template <class Can, class Ask>
auto Client::first_of_hosts(const std::string& what, Can can, Ask ask)
    -> decltype(ask(std::declval<Host&>())) {
  std::optional<Error> failure;
  for (const auto& host : hosts_) {
    if (!can(host->endpoint())) {
      continue;
    }
    if (failure && failure->code() != ErrorCode::NotFound) {
      log::warning("mirror: {}", failure->message());
    }
    auto answer = ask(*host);
    if (answer) {
      return answer;
    }
    failure = std::move(answer).error();
  }
  if (failure) {
    return *std::move(failure);
  }
  return fail(ErrorCode::FailedPrecondition, "{}: hosts.toml names nobody who may be asked", what);
}

Result<> Client::ping() {
  Host& host = *hosts_.back();
  const auto response = BH_TRY(exchange(host, {.target = "/"}));
  if (response->status() != 200) {
    return refused(host, reference_.registry(), *response);
  }
  return {};
}

Result<RemoteManifest> Client::manifest_of(Host& host, const std::string& tag_or_digest) {
  RemoteManifest manifest;
  const Call call{.target = repository_path("manifests/" + tag_or_digest),
                  .scope = scope(),
                  .headers = {{"Accept", accepted_manifests()}}};
  const auto response = BH_TRY(exchange(host, call, [&](HttpResponse& answer) -> Result<> {
    const std::string type = answer.header("content-type").value_or("");
    manifest.media_type = type.substr(0, type.find(';'));
    manifest.content = BH_TRY(answer.read_all(oci::kLargestDocument).context(reference_.text()));
    return {};
  }));
  if (!is_success(response->status())) {
    return refused(host, reference_.text(), *response);
  }
  return manifest;
}

Result<RemoteManifest> Client::manifest(const std::string& tag_or_digest) {
  const bool is_tag = oci::is_tag(tag_or_digest);
  return first_of_hosts(
      reference_.text(),
      [&](const Endpoint& endpoint) { return is_tag ? endpoint.can_resolve : endpoint.can_pull; },
      [&](Host& host) { return manifest_of(host, tag_or_digest); });
}

Result<oci::Descriptor> Client::resolve(const std::string& tag_or_digest) {
  RemoteManifest found = BH_TRY(manifest(tag_or_digest));
  const auto wanted = Digest::parse(tag_or_digest);
  Digest digest = BH_TRY(hash::digest_of(as_bytes(found.content),
                                         wanted ? wanted->algorithm() : DigestAlgorithm::Sha256));
  if (wanted && *wanted != digest) {
    return fail(ErrorCode::Corrupt, "{}: the registry has {} under that name", reference_.text(),
                digest.text());
  }
  return oci::Descriptor{.media_type = std::move(found.media_type),
                         .digest = std::move(digest),
                         .size = found.content.size()};
}

Result<Client::BlobAnswer> Client::blob_of(Host& host, const oci::Descriptor& descriptor,
                                           std::uint64_t offset) {
  const std::string what = descriptor.digest.text();
  Call call{.target = repository_path("blobs/" + what),
            .scope = scope(),
            .headers = {{"Accept-Encoding", "identity"}}};
  if (offset > 0) {
    call.headers.emplace_back("Range", fmt::format("bytes={}-", offset));
  }
  auto response = BH_TRY(exchange(host, call));
  const int status = response->status();
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorCode::Corrupt, "{}: {} answers with {}", what, host.name(), why);
  };
  if (const auto encoding = response->header("content-encoding");
      encoding && *encoding != "identity") {
    return wrong("an encoding that was not asked for, " + quote(*encoding));
  }
  if (status == 206 && offset > 0) {
    const auto range = ContentRange::parse(response->header("content-range").value_or(""));
    if (!range || range->first != offset || range->last + 1 != descriptor.size ||
        range->total.value_or(descriptor.size) != descriptor.size) {
      return wrong("another range than was asked for");
    }
    return BlobAnswer{.response = std::move(response)};
  }
  if (status != 200) {
    return status == 206 ? wrong("a part where all was asked for") : refused(host, what, *response);
  }
  const auto length = parse_decimal<std::uint64_t>(response->header("content-length").value_or(""));
  if (length && *length != descriptor.size) {
    return wrong(fmt::format("{} bytes instead of {}", *length, descriptor.size));
  }
  return BlobAnswer{.response = std::move(response), .skip = offset};
}

Result<Client::BlobAnswer> Client::blob(const oci::Descriptor& descriptor, std::uint64_t offset) {
  return first_of_hosts(
      descriptor.digest.text(), [](const Endpoint& endpoint) { return endpoint.can_pull; },
      [&](Host& host) { return blob_of(host, descriptor, offset); });
}

}  // namespace bulkhead::registry
