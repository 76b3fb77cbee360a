#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {

/// The token service's answer.
/// Source: distribution, "Token Authentication Specification" and "OAuth2 token authentication".
struct Token {
  std::string value;
  std::chrono::seconds lifetime{60};

  /// Errors: Invalid, Remote when there is none in it.
  static Result<Token> parse(const std::string& answer);
};

/// What one host wants to see before it answers, found out once and remembered: nothing, a password
/// or, for each scope, a token. Any number of threads.
///
/// Credentials go to the host itself and to token services that belong to it (challenge.h); any
/// other token service is asked without. Nothing is sent before the host asked for it.
class Authorizer {
 public:
  /// Called once, when they are needed.
  using Lookup = std::function<Result<std::optional<Credentials>>()>;

  struct Options {
    std::string name;  ///< of the registry, for messages
    TlsOptions tls;
    std::vector<std::string> token_services;  ///< hosts that belong to it by the user's word
    Lookup lookup;
  };

  Authorizer(HttpClient& http, Options options) : http_(http), options_(std::move(options)) {}

  /// The Authorization header for requests of a scope ("repository:library/alpine:pull"); empty
  /// when none is known to be needed. Renews a token that is about to end.
  /// Errors: those of the token service.
  Result<std::string> header(const Origin& host, const std::string& scope);

  /// After `refusal` (401) to a request that carried `used`: finds out what is wanted, so that
  /// header() gives something else. Errors: PermissionDenied when there is nothing to try,
  /// Unsupported for an unknown scheme, Invalid; those of the token service.
  Result<> learn(const Origin& host, const HttpResponse& refusal, const std::string& scope,
                 const std::string& used);

 private:
  struct Issued {
    std::string header;
    SteadyTime renew_at;
  };

  Result<const Credentials*> credentials();
  Result<std::string> issue(const Origin& host, const std::string& scope);
  Result<Token> fetch_token(const Origin& host, const std::string& scope);

  HttpClient& http_;
  Options options_;
  std::mutex mutex_;  ///< held while a token is fetched: one is enough for all that wait
  std::optional<std::optional<Credentials>> credentials_;
  std::optional<Challenge> challenge_;
  std::map<std::string, Issued> issued_;  ///< by scope
};

}  // namespace bulkhead::registry
