#include "bulkhead/registry/challenge.h"

#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

constexpr std::size_t kLongestHeader = 8U << 10U;
constexpr std::size_t kMostParameters = 16;
constexpr std::size_t kMostChallenges = 8;

bool is_token_char(char c) {
  const auto value = static_cast<unsigned char>(c);
  return value > 0x20 && value < 0x7f && !std::string_view("()<>@,;:\\\"/[]?={}").contains(c);
}

/// Takes tokens and quoted strings off the front of a header.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void skip(std::string_view any_of) {
    while (!rest_.empty() && any_of.contains(rest_.front())) {
      rest_.remove_prefix(1);
    }
  }

  std::string token() {
    std::string out;
    while (!rest_.empty() && is_token_char(rest_.front())) {
      out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(rest_.front()))));
      rest_.remove_prefix(1);
    }
    return out;
  }

  bool take(char c) {
    if (!rest_.starts_with(c)) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  /// A quoted string or a bare value. False when the quote is not closed.
  bool value(std::string& out) {
    if (!take('"')) {
      while (!rest_.empty() && rest_.front() != ',' && rest_.front() != ' ') {
        out.push_back(rest_.front());
        rest_.remove_prefix(1);
      }
      return true;
    }
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') {
        return true;
      }
      if (c == '\\' && !rest_.empty()) {
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      out.push_back(c);
    }
    return false;
  }

  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// registry.gitlab.com is served by tokens of gitlab.com. A sibling is no relation: without a list
/// of public suffixes "co.uk" would make one of strangers.
bool is_parent_host(std::string_view parent, std::string_view host) {
  return parent.contains('.') && host.size() > parent.size() + 1 && host.ends_with(parent) &&
         host[host.size() - parent.size() - 1] == '.';
}

}  // namespace

Result<std::vector<Challenge>> Challenge::parse(std::string_view header) {
  if (header.size() > kLongestHeader) {
    return fail(ErrorCode::Invalid, "WWW-Authenticate: longer than {} bytes", kLongestHeader);
  }
  const auto malformed = [&] {
    return fail(ErrorCode::Invalid, "WWW-Authenticate {}: malformed", quote(header));
  };
  Scanner scanner(header);
  scanner.skip(" \t,");
  std::vector<Challenge> challenges;
  while (!scanner.empty()) {
    std::string name = scanner.token();
    if (name.empty() || challenges.size() > kMostChallenges) {
      return malformed();
    }
    if (!scanner.take('=')) {
      challenges.push_back({.scheme = std::move(name)});
      scanner.skip(" \t,");
      continue;
    }
    std::string value;
    if (challenges.empty() || !scanner.value(value) ||
        challenges.back().parameters.size() >= kMostParameters) {
      return malformed();
    }
    challenges.back().parameters.emplace(std::move(name), std::move(value));
    scanner.skip(" \t,");
  }
  if (challenges.empty()) {
    return malformed();
  }
  return challenges;
}

std::string Challenge::parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

bool may_ask_for_token(const Origin& realm, const Origin& registry) {
  return realm.scheme == "https" || (registry.scheme == "http" && realm.host == registry.host);
}

bool may_send_credentials(const Origin& realm, const Origin& registry) {
  if (realm == registry) {
    return true;
  }
  if (realm.scheme != "https") {
    return false;
  }
  return realm.host == registry.host || is_parent_host(realm.host, registry.host) ||
         (registry.host == "registry-1.docker.io" && realm.host == "auth.docker.io");
}

}  // namespace bulkhead::registry
