#pragma once

#include <map>
#include <optional>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/registry/credentials.h"

// The programs docker-credential-NAME, which keep passwords in a keychain of the system.
// Source: docker/docker-credential-helpers, README.md.

namespace bulkhead::registry {

/// A helper of that name, found in PATH. It may ask the user for something, so no time limit holds.
class CredentialHelper {
 public:
  /// Errors: Invalid for a name that could be a path or an option.
  static Result<CredentialHelper> create(const std::string& name);

  /// Nothing when it has none for the server.
  /// Errors: NotFound when the program is absent, Remote when it fails.
  [[nodiscard]] Result<std::optional<Credentials>> get(const std::string& server) const;

  [[nodiscard]] Result<> store(const std::string& server, const Credentials& credentials) const;

  /// What is not there is fine.
  [[nodiscard]] Result<> erase(const std::string& server) const;

  /// Users by server; empty where the secret is an identity token.
  [[nodiscard]] Result<std::map<std::string, std::string>> list() const;

 private:
  explicit CredentialHelper(std::string program) : program_(std::move(program)) {}

  [[nodiscard]] Result<std::optional<std::string>> run(const std::string& action,
                                                       const std::string& input) const;

  std::string program_;
};

}  // namespace bulkhead::registry
