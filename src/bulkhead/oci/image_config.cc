#include "bulkhead/oci/image_config.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/strings.h"

namespace bulkhead::oci {
namespace {

constexpr std::string_view kWhat = "image config";
constexpr std::size_t kLongestUser = 256;
constexpr std::size_t kMostHistory = 2 * kMostLayers;
constexpr std::size_t kMostPorts = 65'536;
constexpr std::uint32_t kHighestUid = 0x7fffffff;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Result<> check_user_piece(std::string_view whole, std::string_view piece) {
  const auto allowed = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || c == '@' || c == '$';
  };
  if (piece.empty() || piece.front() == '-' || !std::ranges::all_of(piece, allowed)) {
    return fail(ErrorCode::Invalid, "user {}: write it as name, uid, name:group or uid:gid",
                quote(whole));
  }
  if (is_digit(piece.front())) {
    const auto number = parse_decimal<std::uint32_t>(piece);
    if (!number || *number > kHighestUid) {
      return fail(ErrorCode::Invalid, "user {}: {} is neither a name nor a number up to {}",
                  quote(whole), quote(piece), kHighestUid);
    }
  }
  return {};
}

bool is_port_range(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view protocol =
      slash == std::string_view::npos ? "tcp" : text.substr(slash + 1);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    return false;
  }
  const std::vector<std::string_view> ends = split(text.substr(0, slash), '-');
  return ends.size() <= 2 && std::ranges::all_of(ends, [](std::string_view port) {
           return parse_decimal<std::uint16_t>(port).value_or(0) != 0;
         });
}

/// Members of an object that is used as a set: {"80/tcp": {}}.
Result<std::vector<std::string>> read_set(const json::Fields& fields, std::string_view name) {
  std::vector<std::string> names;
  const std::optional<json::Fields> set = BH_TRY(fields.object(name));
  if (set) {
    for (const json::Member& member : *fields.find(name)->as_object()) {
      names.push_back(member.name);
    }
  }
  return names;
}

Result<> read_process(const json::Fields& fields, ImageConfig& config) {
  BH_TRY(fields.read("User", config.user));
  BH_TRY(fields.read("Env", config.environment));
  BH_TRY(fields.read("Entrypoint", config.entrypoint));
  BH_TRY(fields.read("Cmd", config.command));
  BH_TRY(fields.read("WorkingDir", config.working_directory));
  BH_TRY(fields.read("StopSignal", config.stop_signal));
  BH_TRY(fields.read("Labels", config.labels));
  config.exposed_ports = BH_TRY(read_set(fields, "ExposedPorts"));
  config.volumes = BH_TRY(read_set(fields, "Volumes"));
  return {};
}

Result<> check_process(const ImageConfig& config) {
  BH_TRY(check_user(config.user).context(kWhat));
  std::vector<std::string> arguments = config.entrypoint;
  arguments.insert(arguments.end(), config.command.begin(), config.command.end());
  BH_TRY(check_process_strings(arguments, config.environment, kWhat));
  for (const std::string& variable : config.environment) {
    if (variable.find('=') == std::string::npos || variable.starts_with('=')) {
      return fail(ErrorCode::Invalid, "{}: Env {} is not NAME=value", kWhat, quote(variable));
    }
  }
  if (!config.working_directory.empty()) {
    BH_TRY(check_absolute_path(config.working_directory, "image config: WorkingDir"));
  }
  if (!config.stop_signal.empty()) {
    std::ignore = BH_TRY(parse_signal(config.stop_signal).context("image config: StopSignal"));
  }
  if (config.exposed_ports.size() > kMostPorts) {
    return fail(ErrorCode::ResourceExhausted, "{}: more than {} exposed ports", kWhat, kMostPorts);
  }
  for (const std::string& port : config.exposed_ports) {
    if (!is_port_range(port)) {
      return fail(ErrorCode::Invalid, "{}: exposed port {} is not port[-port]/protocol", kWhat,
                  quote(port));
    }
  }
  return {};
}

Result<> read_rootfs(const json::Fields& fields, ImageConfig& config) {
  const std::optional<json::Fields> rootfs = BH_TRY(fields.object("rootfs"));
  if (!rootfs) {
    return {};
  }
  std::string type = "layers";
  std::vector<std::string> digests;
  BH_TRY(rootfs->read("type", type));
  if (type != "layers") {
    return fail(ErrorCode::Unsupported, "{}: rootfs type {} is not supported", kWhat, quote(type));
  }
  BH_TRY(rootfs->read("diff_ids", digests));
  if (digests.size() > kMostLayers) {
    return fail(ErrorCode::ResourceExhausted, "{}: {} layers, at most {} are taken", kWhat,
                digests.size(), kMostLayers);
  }
  for (const std::string& digest : digests) {
    config.diff_ids.push_back(BH_TRY(Digest::parse(digest).context("image config: diff_ids")));
  }
  return {};
}

Result<> read_history(const json::Fields& fields, ImageConfig& config) {
  return fields.each("history", [&](const json::Value& value, std::string path) -> Result<> {
    if (config.history.size() == kMostHistory) {
      return fail(ErrorCode::ResourceExhausted, "{}: more than {} history entries", kWhat,
                  kMostHistory);
    }
    const json::Fields entry = BH_TRY(json::Fields::create(value, std::move(path)));
    History history;
    BH_TRY(entry.read("created", history.created));
    BH_TRY(entry.read("created_by", history.created_by));
    BH_TRY(entry.read("comment", history.comment));
    BH_TRY(entry.read("empty_layer", history.is_empty_layer));
    config.history.push_back(std::move(history));
    return {};
  });
}

Result<Platform> read_platform(const json::Fields& fields) {
  // Old builders leave them out and mean the machine they run on.
  Platform platform = Platform::host();
  BH_TRY(fields.read("os", platform.os));
  BH_TRY(fields.read("architecture", platform.architecture));
  BH_TRY(fields.read("variant", platform.variant));
  return Platform::normalised(platform.os, platform.architecture, platform.variant);
}

void set_unless_empty(json::Value& value, std::string_view name, const std::string& text) {
  if (!text.empty()) {
    value.set(name, text);
  }
}

void set_unless_empty(json::Value& value, std::string_view name,
                      const std::vector<std::string>& list) {
  if (!list.empty()) {
    value.set(name, list);
  }
}

void set_as_set(json::Value& value, std::string_view name, const std::vector<std::string>& list) {
  if (!list.empty()) {
    json::Value set;
    for (const std::string& text : list) {
      set.set(text, json::Object());
    }
    value.set(name, std::move(set));
  }
}

json::Value process_value(const ImageConfig& config) {
  json::Value value{json::Object()};
  set_unless_empty(value, "User", config.user);
  set_as_set(value, "ExposedPorts", config.exposed_ports);
  set_unless_empty(value, "Env", config.environment);
  set_unless_empty(value, "Entrypoint", config.entrypoint);
  set_unless_empty(value, "Cmd", config.command);
  set_as_set(value, "Volumes", config.volumes);
  set_unless_empty(value, "WorkingDir", config.working_directory);
  if (!config.labels.empty()) {
    json::Value labels;
    for (const auto& [name, text] : config.labels) {
      labels.set(name, text);
    }
    value.set("Labels", std::move(labels));
  }
  set_unless_empty(value, "StopSignal", config.stop_signal);
  return value;
}

}  // namespace

Result<> check_user(std::string_view text) {
  if (text.empty()) {
    return {};
  }
  const std::vector<std::string_view> pieces = split(text, ':');
  if (text.size() > kLongestUser || pieces.size() > 2) {
    return fail(ErrorCode::Invalid, "user {}: write it as name, uid, name:group or uid:gid",
                quote(text));
  }
  for (const std::string_view piece : pieces) {
    BH_TRY(check_user_piece(text, piece));
  }
  return {};
}

Result<int> parse_signal(std::string_view text) {
  static constexpr int kHighest = 64;
  const auto in_range = [](int signal) { return signal >= 1 && signal <= kHighest; };
  if (const auto number = parse_decimal<int>(text); number && in_range(*number)) {
    return *number;
  }
  std::string name(text);
  for (char& c : name) {
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  if (name.starts_with("SIG")) {
    name.erase(0, 3);
  }
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* abbreviation = ::sigabbrev_np(signal);
    if (abbreviation != nullptr && name == abbreviation) {
      return signal;
    }
  }
  // The kernel's numbers of the real-time signals; glibc keeps the first two for itself.
  for (const auto& [prefix, base, sign] :
       {std::tuple{"RTMIN", 34, 1}, std::tuple{"RTMAX", kHighest, -1}}) {
    if (name == prefix) {
      return base;
    }
    const std::string with_sign = std::string(prefix) + (sign > 0 ? '+' : '-');
    if (name.starts_with(with_sign)) {
      const auto offset =
          parse_decimal<std::uint8_t>(std::string_view(name).substr(with_sign.size()));
      if (offset && *offset <= kHighest - 34) {
        return base + (sign * *offset);
      }
    }
  }
  return fail(ErrorCode::Invalid, "signal {}: not a name such as SIGTERM or a number up to {}",
              quote(text), kHighest);
}

Result<ImageConfig> ImageConfig::parse(std::string_view text) {
  const json::Value value = BH_TRY(json::parse(text, kWhat, {.bytes = kLargestDocument}));
  BH_TRY(check_no_nul(value, kWhat));
  const json::Fields fields = BH_TRY(json::Fields::create(value, std::string(kWhat)));
  ImageConfig config;
  config.platform = BH_TRY(read_platform(fields));
  if (config.platform.os != "linux") {
    return fail(ErrorCode::Unsupported, "image is for {}: only linux images run here",
                config.platform.text());
  }
  BH_TRY(fields.read("created", config.created));
  BH_TRY(fields.read("author", config.author));
  if (const std::optional<json::Fields> process = BH_TRY(fields.object("config"))) {
    BH_TRY(read_process(*process, config));
    BH_TRY(check_process(config));
  }
  BH_TRY(read_rootfs(fields, config));
  BH_TRY(read_history(fields, config));
  return config;
}

std::string ImageConfig::serialise() const {
  json::Value value{json::Object()};
  set_unless_empty(value, "created", created);
  set_unless_empty(value, "author", author);
  value.set("architecture", platform.architecture);
  value.set("os", platform.os);
  set_unless_empty(value, "variant", platform.variant);
  value.set("config", process_value(*this));
  json::Array digests;
  for (const Digest& digest : diff_ids) {
    digests.emplace_back(digest.text());
  }
  json::Value rootfs;
  rootfs.set("type", "layers");
  rootfs.set("diff_ids", std::move(digests));
  value.set("rootfs", std::move(rootfs));
  json::Array entries;
  for (const History& entry : history) {
    json::Value one{json::Object()};
    set_unless_empty(one, "created", entry.created);
    set_unless_empty(one, "created_by", entry.created_by);
    set_unless_empty(one, "comment", entry.comment);
    if (entry.is_empty_layer) {
      one.set("empty_layer", true);
    }
    entries.push_back(std::move(one));
  }
  value.set("history", std::move(entries));
  return json::write(value);
}

}  // namespace bulkhead::oci
