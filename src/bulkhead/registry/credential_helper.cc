#include "bulkhead/registry/credential_helper.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/process.h"
#include "bulkhead/registry/credentials.h"

namespace bulkhead::registry {
namespace {

/// What helpers call the user when the secret is an identity token.
constexpr std::string_view kTokenUser = "<token>";
/// What they say, on standard output, when they have nothing.
constexpr std::string_view kNothingThere = "credentials not found in native keychain";

}  // namespace

Result<CredentialHelper> CredentialHelper::create(const std::string& name) {
  const bool is_plain = std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (name.empty() || !is_plain || name.size() > 128) {
    return fail(ErrorCode::Invalid, "credential helper {}: not a name", quote(name));
  }
  return CredentialHelper("docker-credential-" + name);
}

Result<std::optional<std::string>> CredentialHelper::run(const std::string& action,
                                                         const std::string& input) const {
  const os::CommandOutput output =
      BH_TRY(os::run_command({program_, action}, input).context("credential helper"));
  if (output.status.shell_code() == 0) {
    return output.out;
  }
  if (output.out.contains(kNothingThere)) {
    return std::nullopt;
  }
  return fail(ErrorCode::Remote, "credential helper {} {}: {}: {}", program_, action,
              output.status.describe(), quote(output.out.empty() ? output.err : output.out));
}

Result<std::optional<Credentials>> CredentialHelper::get(const std::string& server) const {
  const std::optional<std::string> output = BH_TRY(run("get", server));
  if (!output) {
    return std::nullopt;
  }
  const std::string what = "answer of " + program_;
  const json::Value answer = BH_TRY(json::parse(*output, what, {.bytes = 1U << 20U}));
  const json::Fields fields = BH_TRY(json::Fields::create(answer, what));
  Credentials credentials;
  BH_TRY(fields.read("Username", credentials.user));
  BH_TRY(fields.read("Secret", credentials.secret));
  if (credentials.user == kTokenUser) {
    credentials.user.clear();
    credentials.kind = CredentialKind::IdentityToken;
  }
  if (credentials.secret.empty()) {
    return std::nullopt;
  }
  return credentials;
}

Result<> CredentialHelper::store(const std::string& server, const Credentials& credentials) const {
  const bool is_token = credentials.kind == CredentialKind::IdentityToken;
  json::Value request;
  request.set("ServerURL", server);
  request.set("Username", is_token ? std::string(kTokenUser) : credentials.user);
  request.set("Secret", credentials.secret);
  BH_TRY(run("store", json::write(request)));
  return {};
}

Result<> CredentialHelper::erase(const std::string& server) const {
  BH_TRY(run("erase", server));
  return {};
}

Result<std::map<std::string, std::string>> CredentialHelper::list() const {
  std::map<std::string, std::string> users;
  const std::optional<std::string> output = BH_TRY(run("list", ""));
  if (!output) {
    return users;
  }
  const json::Value answer = BH_TRY(json::parse(*output, "answer of " + program_));
  const json::Object* object = answer.as_object();
  if (object == nullptr) {
    return fail(ErrorCode::Remote, "credential helper {} list: no object", program_);
  }
  for (const auto& [server, user] : *object) {
    const std::string* text = user.as_string();
    const bool is_user = text != nullptr && *text != kTokenUser;
    users.emplace(server, is_user ? *text : std::string());
  }
  return users;
}

}  // namespace bulkhead::registry
