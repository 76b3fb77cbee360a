#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::registry {

enum class CredentialKind : std::uint8_t {
  Password,
  IdentityToken,  ///< an OAuth 2 refresh token: only token services are shown it
};

struct Credentials {
  std::string user;
  std::string secret;
  CredentialKind kind = CredentialKind::Password;

  /// The value of an Authorization header.
  [[nodiscard]] std::string basic() const;

  bool operator==(const Credentials&) const = default;
};

/// What the files below know about one registry.
struct Login {
  std::string registry;  ///< "docker.io", "localhost:5000", "quay.io/team"
  std::string user;      ///< empty for an identity token
  std::string place;     ///< file or helper
};

/// A password that the environment holds, as pipelines hand theirs over:
/// $CONTAINER_REGISTRY_HOST, _USER and _TOKEN.
struct EnvironmentLogin {
  std::string registry;
  Credentials credentials;
};

/// Where passwords for registries are kept: the environment, files that docker and podman read too,
/// and the helpers that these name. Order: the environment; $REGISTRY_AUTH_FILE;
/// $DOCKER_CONFIG/config.json or
/// ~/.docker/config.json; $XDG_RUNTIME_DIR/containers/auth.json or /run/containers/UID/auth.json;
/// ~/.config/containers/auth.json. The first file is the one that is written.
/// Source: docker config(5) as in docker/cli "credential stores"; containers-auth.json(5).
class CredentialStore {
 public:
  static CredentialStore from_environment();

  explicit CredentialStore(std::vector<std::string> files,
                           std::optional<EnvironmentLogin> login = std::nullopt)
      : files_(std::move(files)), login_(std::move(login)) {}

  /// For a repository ("team/image") of a registry ("docker.io", "localhost:5000"); an entry for a
  /// beginning of the repository's path wins over one for the registry.
  /// Errors: Invalid when a file is malformed; Remote, NotFound of a helper.
  [[nodiscard]] Result<std::optional<Credentials>> find(const std::string& registry,
                                                        std::string_view repository = {}) const;

  /// Where it went: a file (0600) or a helper. Other content of the file stays.
  /// Errors: Invalid when there is no place for it or it is malformed.
  Result<std::string> put(const std::string& registry, const Credentials& credentials);

  /// Removes what all files and helpers have for the registry. False when there was nothing.
  Result<bool> remove(const std::string& registry);

  [[nodiscard]] Result<std::vector<Login>> list() const;

 private:
  std::vector<std::string> files_;
  std::optional<EnvironmentLogin> login_;
};

}  // namespace bulkhead::registry
