#include "bulkhead/registry/hosts.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/toml.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

constexpr std::size_t kLargestFile = 1U << 20U;
constexpr std::size_t kMostHosts = 64;

std::string host_of(const std::string& registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : registry;
}

std::string absolute(const std::string& directory, const std::string& path) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

/// One text or a list of texts.
Result<std::vector<std::string>> texts(const json::Fields& fields, std::string_view name) {
  const json::Value* value = fields.find(name);
  if (value != nullptr && value->as_string() != nullptr) {
    return std::vector<std::string>{*value->as_string()};
  }
  std::vector<std::string> list;
  BH_TRY(fields.read(name, list));
  return list;
}

bool is_header_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c != 0x7f; });
}

bool is_header_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return c > 0x20 && c < 0x7f &&
           !std::string_view("()<>@,;:\\\"/[]?={}").contains(static_cast<char>(c));
  });
}

class HostsReader {
 public:
  explicit HostsReader(const std::string& directory) : directory_(directory) {}

  Result<> read_capabilities(const json::Fields& fields, Endpoint& endpoint) {
    const std::vector<std::string> names = BH_TRY(texts(fields, "capabilities"));
    if (names.empty()) {
      return {};
    }
    endpoint.can_pull = endpoint.can_resolve = endpoint.can_push = false;
    for (const std::string& name : names) {
      if (name == "pull") {
        endpoint.can_pull = true;
      } else if (name == "resolve") {
        endpoint.can_resolve = true;
      } else if (name == "push") {
        endpoint.can_push = true;
      } else if (name != "referrers") {
        return fail(ErrorCode::Invalid, "{}: {} is no capability",
                    fields.member_path("capabilities"), quote(name));
      }
    }
    return {};
  }

  Result<> read_authorities(const std::vector<std::string>& files, TlsOptions& tls) {
    for (const std::string& file : files) {
      const std::string pem = BH_TRY(os::read_file(absolute(directory_, file), kLargestFile));
      tls.authorities += pem + "\n";
    }
    return {};
  }

  /// "both.pem", ["both.pem"] or [["certificate.pem", "key.pem"]].
  Result<> read_client(const json::Fields& fields, TlsOptions& tls) {
    const json::Value* value = fields.find("client");
    if (value == nullptr) {
      return {};
    }
    const json::Value* first = value;
    if (const json::Array* list = value->as_array()) {
      if (list->size() != 1) {
        return fail(ErrorCode::Unsupported, "{}: exactly one client certificate is supported",
                    fields.member_path("client"));
      }
      first = &list->front();
    }
    if (const std::string* file = first->as_string()) {
      tls.certificate_file = absolute(directory_, *file);
      return {};
    }
    const json::Array* pair = first->as_array();
    if (pair == nullptr || pair->size() != 2 || pair->front().as_string() == nullptr ||
        pair->back().as_string() == nullptr) {
      return fail(ErrorCode::Invalid, "{}: a file, or a pair of certificate and key, is expected",
                  fields.member_path("client"));
    }
    tls.certificate_file = absolute(directory_, *pair->front().as_string());
    tls.key_file = absolute(directory_, *pair->back().as_string());
    return {};
  }

  Result<> read_headers(const json::Fields& fields, Endpoint& endpoint) {
    const std::optional<json::Fields> headers = BH_TRY(fields.object("header"));
    if (!headers) {
      return {};
    }
    for (const json::Member& member : *fields.find("header")->as_object()) {
      for (std::string& text : BH_TRY(texts(*headers, member.name))) {
        if (!is_header_name(member.name) || !is_header_text(text)) {
          return fail(ErrorCode::Invalid, "{}: no HTTP header", headers->member_path(member.name));
        }
        endpoint.headers.emplace_back(member.name, std::move(text));
      }
    }
    return {};
  }

  Result<Endpoint> read(const std::string& server, const json::Fields& fields) {
    Endpoint endpoint;
    std::string url = server.contains("://") ? server : "https://" + server;
    while (url.ends_with('/')) {
      url.pop_back();
    }
    BH_TRY(origin_of(url).context(fields.path()));
    if (url.find_first_of("?#@ ") != std::string::npos) {
      return fail(ErrorCode::Invalid, "{}: {}: scheme, host, port and path are expected",
                  fields.path(), quote(server));
    }
    bool override_path = false;
    bool skip_verify = false;
    BH_TRY(fields.read("override_path", override_path));
    BH_TRY(fields.read("skip_verify", skip_verify));
    if (!override_path && !url.ends_with("/v2")) {
      url += "/v2";
    }
    endpoint.base_url = std::move(url);
    endpoint.tls.check = skip_verify ? TlsCheck::Skip : TlsCheck::Verify;
    BH_TRY(read_capabilities(fields, endpoint));
    const std::vector<std::string> authorities = BH_TRY(texts(fields, "ca"));
    BH_TRY(read_authorities(authorities, endpoint.tls));
    BH_TRY(read_client(fields, endpoint.tls));
    BH_TRY(read_headers(fields, endpoint));
    endpoint.token_services = BH_TRY(texts(fields, "token_services"));
    return endpoint;
  }

 private:
  const std::string& directory_;
};

/// docker's directory of certificates: no mirrors, only trust.
Result<std::vector<Endpoint>> read_certificates(const std::string& registry,
                                                const std::string& directory) {
  Endpoint endpoint = default_endpoint(registry);
  HostsReader reader(directory);
  const std::vector<std::string> names = BH_TRY(os::list_directory(directory));
  for (const std::string& name : names) {
    if (name.ends_with(".crt")) {
      BH_TRY(reader.read_authorities({name}, endpoint.tls));
    } else if (name.ends_with(".cert")) {
      const std::string key = name.substr(0, name.size() - std::string_view("cert").size()) + "key";
      if (std::ranges::find(names, key) == names.end()) {
        return fail(ErrorCode::NotFound, "{}/{}: its key {} is absent", directory, name, key);
      }
      endpoint.tls.certificate_file = absolute(directory, name);
      endpoint.tls.key_file = absolute(directory, key);
    }
  }
  return std::vector<Endpoint>{std::move(endpoint)};
}

std::vector<std::string> roots() {
  if (const auto directory = os::environment_variable("BULKHEAD_CERTS_DIR");
      directory && !directory->empty()) {
    return {*directory};
  }
  std::vector<std::string> roots;
  const auto config = os::environment_variable("XDG_CONFIG_HOME");
  const auto home = os::environment_variable("HOME");
  if (config && !config->empty()) {
    roots.push_back(*config + "/bulkhead/certs.d");
  } else if (home && !home->empty()) {
    roots.push_back(*home + "/.config/bulkhead/certs.d");
  }
  roots.emplace_back("/etc/bulkhead/certs.d");
  roots.emplace_back("/etc/containerd/certs.d");
  return roots;
}

}  // namespace

Endpoint default_endpoint(const std::string& registry) {
  return {.base_url = "https://" + host_of(registry) + "/v2"};
}

Result<std::vector<Endpoint>> parse_hosts(std::string_view text, const std::string& registry,
                                          const std::string& directory) {
  const std::string what = directory + "/hosts.toml";
  const json::Value document = BH_TRY(config::parse_toml(text, what));
  const json::Fields root = BH_TRY(json::Fields::create(document, what));
  HostsReader reader(directory);
  std::vector<Endpoint> endpoints;
  if (const std::optional<json::Fields> hosts = BH_TRY(root.object("host"))) {
    for (const json::Member& member : *root.find("host")->as_object()) {
      if (endpoints.size() >= kMostHosts) {
        return fail(ErrorCode::Invalid, "{}: more than {} hosts", what, kMostHosts);
      }
      const json::Fields fields =
          BH_TRY(json::Fields::create(member.value, hosts->member_path(member.name)));
      Endpoint endpoint = BH_TRY(reader.read(member.name, fields));
      endpoint.is_mirror = true;
      // Nobody means to publish to a mirror without having said so.
      endpoint.can_push = endpoint.can_push && fields.has("capabilities");
      endpoints.push_back(std::move(endpoint));
    }
  }
  std::string server;
  BH_TRY(root.read("server", server));
  Endpoint own = BH_TRY(reader.read(server.empty() ? host_of(registry) : server, root));
  endpoints.push_back(std::move(own));
  return endpoints;
}

Result<std::vector<Endpoint>> find_endpoints(const std::string& registry) {
  std::string underscored = registry + "_";
  std::ranges::replace(underscored, ':', '_');
  for (const std::string& root : roots()) {
    for (const std::string& name : {registry, underscored, std::string("_default")}) {
      const std::string directory = root + "/" + name;
      if (!os::path_exists(directory)) {
        continue;
      }
      const auto text = os::read_file(directory + "/hosts.toml", kLargestFile);
      if (text) {
        return parse_hosts(*text, registry, directory);
      }
      if (text.error().code() != ErrorCode::NotFound) {
        return text.error();
      }
      return read_certificates(registry, directory);
    }
  }
  return std::vector<Endpoint>{default_endpoint(registry)};
}

}  // namespace bulkhead::registry
