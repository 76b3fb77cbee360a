#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/registry_access.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/program/run.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/credentials.h"

namespace bulkhead::image_cli {
namespace {

constexpr std::size_t kLongestSecret = 64U << 10U;

void say(std::string_view text) { static_cast<void>(os::write_all(STDERR_FILENO, as_bytes(text))); }

enum class Echo : std::uint8_t { On, Off };

/// One line from a raw terminal, edited with backspace and ^U.
Result<std::string> ask(std::string_view question, Echo echo) {
  say(question);
  std::string line;
  while (line.size() < kLongestSecret) {
    std::array<std::byte, 1> buffer{};
    const std::size_t n = BH_TRY(os::read_some(STDIN_FILENO, buffer));
    const char c = n == 0 ? '\x04' : static_cast<char>(buffer.front());
    if (c == '\r' || c == '\n') {
      break;
    }
    if (c == '\x03' || (c == '\x04' && line.empty())) {
      say("\r\n");
      return fail(ErrorCode::Cancelled, "login: cancelled");
    }
    if (c == '\x7f' || c == '\b' || c == '\x15') {
      const std::size_t kept = c == '\x15' || line.empty() ? 0 : line.size() - 1;
      for (; line.size() > kept; line.pop_back()) {
        say(echo == Echo::On ? "\b \b" : "");
      }
    } else {
      line.push_back(c);
      say(echo == Echo::On ? std::string_view(&line.back(), 1) : std::string_view());
    }
  }
  say("\r\n");
  return line;
}

Result<std::string> secret_from_input() {
  std::string secret = BH_TRY(os::read_to_end(STDIN_FILENO, kLongestSecret));
  if (secret.ends_with('\n')) {
    secret.pop_back();
  }
  if (secret.ends_with('\r')) {
    secret.pop_back();
  }
  return secret;
}

Result<registry::Credentials> credentials_of(const LoginOptions& options) {
  registry::Credentials credentials{.user = options.user};
  if (options.password_from == PasswordSource::Input) {
    if (credentials.user.empty()) {
      return fail(ErrorCode::Invalid, "login: --password-stdin needs --username");
    }
    credentials.secret = BH_TRY(secret_from_input());
  } else {
    if (!os::is_terminal(STDIN_FILENO)) {
      return fail(ErrorCode::Invalid,
                  "login: standard input is no terminal: give --username and --password-stdin");
    }
    // Raw before the first question, lest the terminal echo what is typed ahead of the next; and so
    // that an interrupt comes as a character and leaves no terminal without echo behind.
    const os::RawTerminal raw = BH_TRY(os::RawTerminal::enter(STDIN_FILENO));
    if (credentials.user.empty()) {
      credentials.user = BH_TRY(ask("Username: ", Echo::On));
    }
    credentials.secret = BH_TRY(ask("Password: ", Echo::Off));
  }
  if (credentials.user.empty() || credentials.secret.empty()) {
    return fail(ErrorCode::Invalid, "login: user name or password is empty");
  }
  if (credentials.user.contains(':')) {
    return fail(ErrorCode::Invalid, "login: a user name cannot have a colon");
  }
  return credentials;
}

}  // namespace

Result<> login(const LoginOptions& options) {
  const oci::Reference reference = BH_TRY(registry_reference(options.registry));
  const registry::Credentials credentials = BH_TRY(credentials_of(options));
  const std::shared_ptr<registry::Client> client = BH_TRY(registry::Client::create(
      reference, {.transport = transport_of(options.insecure), .credentials = credentials}));
  BH_TRY(client->ping().context("login"));
  auto store = registry::CredentialStore::from_environment();
  const std::string place = BH_TRY(store.put(reference.registry(), credentials).context("login"));
  return program::print("Login to " + reference.registry() + " succeeded; kept in " + place + "\n");
}

Result<> logout(const std::string& registry) {
  const oci::Reference reference = BH_TRY(registry_reference(registry));
  auto store = registry::CredentialStore::from_environment();
  const bool is_removed = BH_TRY(store.remove(reference.registry()).context("logout"));
  return program::print((is_removed ? "Removed login credentials for " : "Not logged in to ") +
                        reference.registry() + "\n");
}

Result<> list_logins(ListFormat format) {
  const std::vector<registry::Login> logins =
      BH_TRY(registry::CredentialStore::from_environment().list());
  if (format == ListFormat::Json) {
    json::Array array;
    for (const registry::Login& login : logins) {
      json::Value value;
      value.set("registry", login.registry);
      value.set("username", login.user);
      value.set("source", login.place);
      array.push_back(std::move(value));
    }
    return program::print(json::write(array, json::Style::Pretty));
  }
  if (format == ListFormat::Ids) {
    std::string text;
    for (const registry::Login& login : logins) {
      text += login.registry + "\n";
    }
    return program::print(text);
  }
  Table table({"REGISTRY", "USERNAME", "SOURCE"});
  for (const registry::Login& login : logins) {
    table.add({login.registry, login.user, login.place});
  }
  return program::print(table.text());
}

}  // namespace bulkhead::image_cli
