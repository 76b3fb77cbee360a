#include "bulkhead/registry/credentials.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/file.h"

namespace bulkhead::registry {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

void add(std::vector<std::string>& files, const std::string& directory, std::string_view rest) {
  if (!directory.empty()) {
    files.push_back(directory + std::string(rest));
  }
}

std::vector<std::string> candidate_files() {
  std::vector<std::string> files;
  add(files, environment("DOCKER_CONFIG"), "/config.json");
  add(files, environment("HOME"), "/.docker/config.json");
  add(files, environment("REGISTRY_AUTH_FILE"), "");
  add(files, environment("XDG_RUNTIME_DIR"), "/containers/auth.json");
  add(files, environment("HOME"), "/.config/containers/auth.json");
  return files;
}

/// What the files may call a registry; docker still writes the address of its first one.
std::vector<std::string> keys_of(const std::string& registry) {
  std::vector<std::string> keys = {registry, "https://" + registry, "http://" + registry};
  if (registry == "docker.io") {
    keys.emplace_back("https://index.docker.io/v1/");
    keys.emplace_back("index.docker.io");
  }
  return keys;
}

}  // namespace

Result<std::optional<std::string>> credentials_in(const std::string& text,
                                                  const std::string& registry) {
  const json::Value document = BH_TRY(json::parse(text, "credentials"));
  const json::Value* auths = document.find("auths");
  if (auths == nullptr) {
    return std::nullopt;
  }
  for (const std::string& key : keys_of(registry)) {
    const json::Value* entry = auths->find(key);
    const json::Value* auth = entry == nullptr ? nullptr : entry->find("auth");
    const std::string* value = auth == nullptr ? nullptr : auth->as_string();
    if (value == nullptr || value->empty()) {
      continue;
    }
    if (value->find_first_not_of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
        std::string::npos) {
      return fail(ErrorCode::Invalid, "credentials: auth of {} is not base64", registry);
    }
    return *value;
  }
  return std::nullopt;
}

Result<std::optional<std::string>> find_credentials(const std::string& registry) {
  for (const std::string& file : candidate_files()) {
    const auto text = os::read_file(file, 1U << 20U);
    if (!text) {
      continue;
    }
    if (auto found = BH_TRY(credentials_in(*text, registry).context(file))) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace bulkhead::registry
