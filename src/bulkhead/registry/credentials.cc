#include "bulkhead/registry/credentials.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/privilege.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/registry/base64.h"
#include "bulkhead/registry/credential_helper.h"

namespace bulkhead::registry {
namespace {

constexpr std::size_t kLargestFile = 1U << 20U;
/// Docker still writes the address of its first registry.
constexpr std::string_view kHubKey = "https://index.docker.io/v1/";

/// What files and helpers may call a registry; the first is how it is written.
std::vector<std::string> keys_of(const std::string& registry) {
  if (registry == "docker.io") {
    return {std::string(kHubKey), "docker.io", "index.docker.io", "https://index.docker.io/v1",
            "registry-1.docker.io"};
  }
  return {registry, "https://" + registry, "http://" + registry, "https://" + registry + "/",
          "https://" + registry + "/v1/"};
}

/// The registry that a key is for.
std::string registry_of(std::string_view key) {
  for (const std::string_view prefix : {"https://", "http://"}) {
    if (key.starts_with(prefix)) {
      key.remove_prefix(prefix.size());
      key = key.substr(0, key.find('/'));
    }
  }
  while (key.ends_with('/')) {
    key.remove_suffix(1);
  }
  return key == "index.docker.io" || key == "registry-1.docker.io" ? "docker.io" : std::string(key);
}

const std::string* text_of(const json::Value* object, std::string_view name) {
  const json::Value* value = object == nullptr ? nullptr : object->find(name);
  const std::string* text = value == nullptr ? nullptr : value->as_string();
  return text == nullptr || text->empty() ? nullptr : text;
}

Result<std::optional<Credentials>> credentials_of(const json::Value& entry,
                                                  const std::string& key) {
  if (const std::string* token = text_of(&entry, "identitytoken")) {
    return Credentials{.user = {}, .secret = *token, .kind = CredentialKind::IdentityToken};
  }
  if (const std::string* auth = text_of(&entry, "auth")) {
    const std::optional<std::string> plain = decode_base64(*auth);
    const std::size_t colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos) {
      return fail(ErrorCode::Invalid, "auth of {} is not the base64 of user:password", quote(key));
    }
    Credentials credentials{.user = plain->substr(0, colon), .secret = plain->substr(colon + 1)};
    // Old dockers end it with a zero.
    while (credentials.secret.ends_with('\0')) {
      credentials.secret.pop_back();
    }
    return credentials;
  }
  if (const std::string* user = text_of(&entry, "username")) {
    const std::string* password = text_of(&entry, "password");
    return Credentials{.user = *user, .secret = password == nullptr ? "" : *password};
  }
  return std::nullopt;
}

/// One docker or podman file.
class File {
 public:
  /// An absent file is an empty one.
  static Result<File> read(const std::string& path) {
    const auto text = os::read_file(path, kLargestFile);
    if (!text && text.error().code() != ErrorCode::NotFound) {
      return text.error();
    }
    if (!text || text->find_first_not_of(" \t\r\n") == std::string::npos) {
      return File(json::Value(json::Object()));
    }
    json::Value document = BH_TRY(json::parse(*text, "credentials").context(path));
    if (!document.is_object()) {
      return fail(ErrorCode::Invalid, "{}: credentials: an object is expected", path);
    }
    return File(std::move(document));
  }

  /// The helper that is responsible for a key.
  [[nodiscard]] Result<std::optional<CredentialHelper>> helper(
      const std::vector<std::string>& keys) const {
    for (const std::string& key : keys) {
      if (const std::string* name = text_of(document_.find("credHelpers"), key)) {
        CredentialHelper helper = BH_TRY(CredentialHelper::create(*name));
        return helper;
      }
    }
    return default_helper();
  }

  [[nodiscard]] Result<std::optional<CredentialHelper>> default_helper() const {
    if (const std::string* name = text_of(&document_, "credsStore")) {
      CredentialHelper helper = BH_TRY(CredentialHelper::create(*name));
      return helper;
    }
    return std::nullopt;
  }

  [[nodiscard]] Result<std::optional<Credentials>> find(
      const std::vector<std::string>& keys) const {
    for (const std::string& key : keys) {
      const json::Value* auths = document_.find("auths");
      if (const json::Value* entry = auths == nullptr ? nullptr : auths->find(key)) {
        if (auto found = BH_TRY(credentials_of(*entry, key))) {
          return found;
        }
      }
    }
    return std::nullopt;
  }

  void put(const std::string& key, const Credentials& credentials) {
    json::Value entry{json::Object()};
    if (credentials.kind == CredentialKind::IdentityToken) {
      entry.set("identitytoken", credentials.secret);
    } else {
      entry.set("auth", encode_base64(credentials.user + ":" + credentials.secret));
    }
    json::Value auths =
        document_.find("auths") == nullptr ? json::Value(json::Object()) : *document_.find("auths");
    auths.set(key, std::move(entry));
    document_.set("auths", std::move(auths));
  }

  /// False when there was none.
  bool remove(const std::vector<std::string>& keys) {
    const json::Value* auths = document_.find("auths");
    const json::Object* entries = auths == nullptr ? nullptr : auths->as_object();
    if (entries == nullptr) {
      return false;
    }
    json::Object kept;
    for (const json::Member& entry : *entries) {
      if (std::ranges::find(keys, entry.name) == keys.end()) {
        kept.push_back(entry);
      }
    }
    const bool is_changed = kept.size() != entries->size();
    document_.set("auths", std::move(kept));
    return is_changed;
  }

  [[nodiscard]] const json::Value& document() const { return document_; }

 private:
  explicit File(json::Value document) : document_(std::move(document)) {}

  json::Value document_;
};

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

/// Reads, changes and writes a file while no other process of ours does. A symbolic link stays one,
/// as docker leaves it. `change` returns whether there is something to write.
Result<> update(std::string path, const std::function<Result<bool>(File&)>& change) {
  if (const auto target = os::read_link(path)) {
    path = target->starts_with('/') ? *target : parent_of(path) + "/" + *target;
  }
  BH_TRY(os::make_directories(parent_of(path), 0700));
  os::UniqueFd directory = BH_TRY(os::open_file(parent_of(path), O_RDONLY | O_DIRECTORY));
  const os::FileLock lock = BH_TRY(os::FileLock::acquire(std::move(directory)));
  File file = BH_TRY(File::read(path));
  if (!BH_TRY(change(file))) {
    return {};
  }
  return os::write_file_atomically(path, json::write(file.document(), json::Style::Pretty), 0600);
}

void add(std::vector<std::string>& files, const std::optional<std::string>& directory,
         std::string_view rest) {
  if (directory && !directory->empty()) {
    files.push_back(*directory + std::string(rest));
  }
}

/// "quay.io/team/image", "quay.io/team": what podman's files may say instead of the registry.
std::vector<std::string> scoped_keys(const std::string& registry, std::string_view repository) {
  std::vector<std::string> keys;
  while (!repository.empty()) {
    keys.push_back(registry + "/" + std::string(repository));
    const std::size_t slash = repository.rfind('/');
    repository = repository.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
  return keys;
}

/// Nothing unless all of it is there.
std::optional<EnvironmentLogin> environment_login() {
  const auto host = os::environment_variable("CONTAINER_REGISTRY_HOST");
  const auto user = os::environment_variable("CONTAINER_REGISTRY_USER");
  const auto token = os::environment_variable("CONTAINER_REGISTRY_TOKEN");
  if (!host || !user || !token || host->empty() || token->empty()) {
    return std::nullopt;
  }
  return EnvironmentLogin{.registry = registry_of(*host),
                          .credentials = {.user = *user, .secret = *token}};
}

}  // namespace

std::string Credentials::basic() const { return "Basic " + encode_base64(user + ":" + secret); }

CredentialStore CredentialStore::from_environment() {
  const auto home = os::environment_variable("HOME");
  const auto docker = os::environment_variable("DOCKER_CONFIG");
  const auto runtime = os::environment_variable("XDG_RUNTIME_DIR");
  std::vector<std::string> files;
  add(files, os::environment_variable("REGISTRY_AUTH_FILE"), "");
  if (docker && !docker->empty()) {
    add(files, docker, "/config.json");
  } else {
    add(files, home, "/.docker/config.json");
  }
  if (runtime && !runtime->empty()) {
    add(files, runtime, "/containers/auth.json");
  } else {
    files.push_back("/run/containers/" + std::to_string(os::effective_user()) + "/auth.json");
  }
  add(files, home, "/.config/containers/auth.json");
  return CredentialStore(std::move(files), environment_login());
}

Result<std::optional<Credentials>> CredentialStore::find(const std::string& registry,
                                                         std::string_view repository) const {
  if (login_ && login_->registry == registry) {
    return login_->credentials;
  }
  const std::vector<std::string> keys = keys_of(registry);
  for (const std::string& path : files_) {
    const File file = BH_TRY(File::read(path));
    if (auto found = BH_TRY(file.find(scoped_keys(registry, repository)).context(path))) {
      return found;
    }
    if (const auto helper = BH_TRY(file.helper(keys).context(path))) {
      if (auto found = BH_TRY(helper->get(keys.front()).context(path))) {
        return found;
      }
    }
    if (auto found = BH_TRY(file.find(keys).context(path))) {
      return found;
    }
  }
  return std::nullopt;
}

Result<std::string> CredentialStore::put(const std::string& registry,
                                         const Credentials& credentials) {
  if (files_.empty()) {
    return fail(ErrorCode::Invalid,
                "no place for credentials: neither REGISTRY_AUTH_FILE, DOCKER_CONFIG nor HOME is "
                "set");
  }
  const std::vector<std::string> keys = keys_of(registry);
  const std::string& path = files_.front();
  std::string place = path;
  BH_TRY(update(path, [&](File& file) -> Result<bool> {
    if (const auto helper = BH_TRY(file.helper(keys).context(path))) {
      BH_TRY(helper->store(keys.front(), credentials));
      place = "a credential helper that " + path + " names";
      return file.remove(keys);
    }
    file.remove(keys);
    file.put(keys.front(), credentials);
    return true;
  }));
  return place;
}

Result<bool> CredentialStore::remove(const std::string& registry) {
  const std::vector<std::string> keys = keys_of(registry);
  bool is_removed = false;
  for (const std::string& path : files_) {
    const File file = BH_TRY(File::read(path));
    const auto helper = BH_TRY(file.helper(keys).context(path));
    if (helper && BH_TRY(helper->get(keys.front()).context(path))) {
      BH_TRY(helper->erase(keys.front()).context(path));
      is_removed = true;
    }
    if (BH_TRY(file.find(keys).context(path))) {
      BH_TRY(update(path, [&](File& current) -> Result<bool> { return current.remove(keys); }));
      is_removed = true;
    }
  }
  return is_removed;
}

Result<std::vector<Login>> CredentialStore::list() const {
  std::vector<Login> logins;
  const auto is_known = [&](const std::string& registry) {
    return std::ranges::any_of(logins,
                               [&](const Login& login) { return login.registry == registry; });
  };
  for (const std::string& path : files_) {
    const File file = BH_TRY(File::read(path));
    if (const auto helper = BH_TRY(file.default_helper().context(path))) {
      for (const auto& [server, user] : BH_TRY(helper->list().context(path))) {
        const std::string registry = registry_of(server);
        if (!is_known(registry)) {
          logins.push_back({registry, user, path});
        }
      }
    }
    const json::Value* auths = file.document().find("auths");
    const json::Object* entries = auths == nullptr ? nullptr : auths->as_object();
    if (entries == nullptr) {
      continue;
    }
    for (const auto& [key, entry] : *entries) {
      const std::string registry = registry_of(key);
      const auto found = BH_TRY(credentials_of(entry, key).context(path));
      if (found && !is_known(registry)) {
        logins.push_back({registry, found->user, path});
      }
    }
  }
  std::ranges::sort(logins, {}, &Login::registry);
  return logins;
}

}  // namespace bulkhead::registry
