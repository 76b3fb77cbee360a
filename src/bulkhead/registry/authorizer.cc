#include "bulkhead/registry/authorizer.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/retry.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kLargestToken = 1U << 20U;
constexpr std::chrono::seconds kShortestLifetime{60};
constexpr std::chrono::seconds kLongestLifetime{24 * 3600};
/// A token is renewed so long before it ends, for requests that are under way.
constexpr std::chrono::seconds kMargin{10};

/// "repository:team/image:" of "repository:team/image:pull"; nothing where there is no colon.
std::string_view object_of(std::string_view scope) { return scope.substr(0, scope.rfind(':') + 1); }

/// The scopes to ask for: ours and, of the registry's, those that are about something else.
std::vector<std::string> scopes_to_ask(const std::string& ours, const std::string& theirs) {
  std::vector<std::string> scopes;
  for (const std::string_view one : split(ours, ' ')) {
    if (!one.empty()) {
      scopes.emplace_back(one);
    }
  }
  for (const std::string_view one : split(theirs, ' ')) {
    const std::string_view object = object_of(one);
    const auto is_known = [&](const std::string& other) {
      return other == one || (!object.empty() && object_of(other) == object);
    };
    if (!one.empty() && std::ranges::none_of(scopes, is_known)) {
      scopes.emplace_back(one);
    }
  }
  return scopes;
}

}  // namespace

Result<Token> Token::parse(const std::string& answer) {
  const json::Value document = BH_TRY(json::parse(answer, "token", {.bytes = kLargestToken}));
  Token token;
  if (const json::Value* value = document.find("expires_in")) {
    const auto seconds = value->as_integer<int>().value_or(0);
    token.lifetime = std::clamp(std::chrono::seconds(seconds), kShortestLifetime, kLongestLifetime);
  }
  for (const std::string_view name : {"token", "access_token"}) {
    const json::Value* value = document.find(name);
    const std::string* text = value == nullptr ? nullptr : value->as_string();
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (text != nullptr && !text->empty() && std::ranges::all_of(*text, printable)) {
      token.value = *text;
      return token;
    }
  }
  return fail(ErrorCode::Remote, "the token service answers without a token");
}

Result<const Credentials*> Authorizer::credentials() {
  if (!credentials_) {
    credentials_ = BH_TRY(options_.lookup());
  }
  return *credentials_ ? &**credentials_ : nullptr;
}

Result<Token> Authorizer::fetch_token(const Origin& host, const std::string& scope) {
  const std::string realm = challenge_->parameter("realm");
  const std::string service_name = challenge_->parameter("service");
  const Origin service = BH_TRY(origin_of(realm).context("token service"));
  if (!may_ask_for_token(service, host)) {
    return fail(ErrorCode::PermissionDenied, "names a token service without https, {}",
                quote(realm));
  }
  const Credentials* known = BH_TRY(credentials());
  const bool is_trusted =
      may_send_credentials(service, host) ||
      (service.scheme == "https" &&
       std::ranges::find(options_.token_services, service.host) != options_.token_services.end());
  const Credentials* shown = is_trusted ? known : nullptr;
  const std::vector<std::string> scopes = scopes_to_ask(scope, challenge_->parameter("scope"));

  HttpRequest request{.url = realm};
  request.tls = options_.tls;
  if (service.host != host.host) {
    // Who signs for the registry may sign for its token service; our certificate is the registry's.
    request.tls.certificate_file.clear();
    request.tls.key_file.clear();
  }
  if (shown != nullptr && shown->kind == CredentialKind::IdentityToken) {
    std::string form;
    for (const std::string& one : scopes) {
      form += form.empty() ? "" : " ";
      form += one;
    }
    request.method = "POST";
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.body =
        "grant_type=refresh_token&client_id=bulkhead&service=" + encode_query(service_name) +
        "&scope=" + encode_query(form) + "&refresh_token=" + encode_query(shown->secret);
  } else {
    request.url = with_query(std::move(request.url), "service", service_name);
    for (const std::string& one : scopes) {
      request.url = with_query(std::move(request.url), "scope", one);
    }
    if (shown != nullptr) {
      request.headers.emplace_back("Authorization", shown->basic());
    }
  }
  Backoff backoff;
  while (true) {
    const auto response = BH_TRY(http_.open(request));
    const int status = response->status();
    if (status == 200) {
      const std::string answer = BH_TRY(response->read_all(kLargestToken));
      return Token::parse(answer);
    }
    if (status == 401 || status == 403) {
      return fail(ErrorCode::PermissionDenied, "the token service at {} refuses{}", service.host,
                  known != nullptr && shown == nullptr
                      ? "; the stored password was not sent there, for it is another host (see "
                        "token_services in hosts.toml)"
                  : shown == nullptr ? " without a password"
                                     : " user name and password");
    }
    const bool is_passing = status == 429 || status >= 500;
    const auto wait = is_passing ? backoff.next(retry_after(*response)) : std::nullopt;
    if (!wait) {
      return fail(is_passing ? ErrorCode::Unavailable : ErrorCode::Remote,
                  "the token service at {} answers {}", service.host, status);
    }
    std::this_thread::sleep_for(*wait);
  }
}

/// What the challenge asks for, made.
Result<std::string> Authorizer::issue(const Origin& host, const std::string& scope) {
  if (challenge_->scheme == "bearer") {
    Token token = BH_TRY(fetch_token(host, scope).context(options_.name));
    Issued& issued = issued_[scope];
    issued = {.header = "Bearer " + token.value,
              .renew_at = steady_clock::now() + token.lifetime - kMargin};
    return issued.header;
  }
  const Credentials* known = BH_TRY(credentials());
  if (known == nullptr || known->kind != CredentialKind::Password) {
    return fail(ErrorCode::PermissionDenied,
                "{}: needs a user name and a password, and none are stored (bulkhead login {})",
                options_.name, options_.name);
  }
  return known->basic();
}

Result<std::string> Authorizer::header(const Origin& host, const std::string& scope) {
  const std::lock_guard guard(mutex_);
  if (!challenge_) {
    return std::string();
  }
  const auto found = issued_.find(scope);
  if (found != issued_.end() && steady_clock::now() < found->second.renew_at) {
    return found->second.header;
  }
  return issue(host, scope);
}

Result<> Authorizer::learn(const Origin& host, const HttpResponse& refusal,
                           const std::string& scope, const std::string& used) {
  const std::lock_guard guard(mutex_);
  const auto found = issued_.find(scope);
  if (found != issued_.end() && found->second.header != used) {
    return {};  // another thread has learnt meanwhile
  }
  issued_.erase(scope);
  std::optional<Challenge> chosen;
  std::string offered;
  for (const std::string& header : refusal.headers("www-authenticate")) {
    for (Challenge& challenge : BH_TRY(Challenge::parse(header).context(options_.name))) {
      offered += offered.empty() ? "" : ", ";
      offered += challenge.scheme;
      const bool is_better = challenge.scheme == "bearer" && (!chosen || chosen->scheme == "basic");
      if (is_better || (challenge.scheme == "basic" && !chosen)) {
        chosen = std::move(challenge);
      }
    }
  }
  if (!chosen) {
    return fail(offered.empty() ? ErrorCode::PermissionDenied : ErrorCode::Unsupported,
                "{}: asks for credentials {}", options_.name,
                offered.empty() ? "without saying which" : "of the kind " + quote(offered));
  }
  challenge_ = std::move(chosen);
  BH_TRY(issue(host, scope));
  return {};
}

}  // namespace bulkhead::registry
