#pragma once

#include <optional>
#include <string>

#include "bulkhead/base/result.h"

namespace bulkhead::registry {

/// The stored credentials for a registry ("docker.io", "localhost:5000"), as a Basic authorization
/// carries them: base64 of "user:password". Looked for in $DOCKER_CONFIG/config.json or
/// ~/.docker/config.json, then in podman's auth.json ($REGISTRY_AUTH_FILE,
/// $XDG_RUNTIME_DIR/containers, ~/.config/containers).
/// Errors: Invalid when a file is there but malformed.
Result<std::optional<std::string>> find_credentials(const std::string& registry);

/// The same from the text of one such file.
Result<std::optional<std::string>> credentials_in(const std::string& text,
                                                  const std::string& registry);

}  // namespace bulkhead::registry
