#include "bulkhead/oci/spec.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/strings.h"

namespace bulkhead::oci {
namespace {

constexpr std::string_view kWhat = "config.json";

Result<User> parse_user(const json::Fields& fields) {
  User user;
  BH_TRY(fields.read("uid", user.uid));
  BH_TRY(fields.read("gid", user.gid));
  BH_TRY(fields.read("umask", user.umask));
  BH_TRY(fields.read("additionalGids", user.additional_gids));
  BH_TRY(fields.read("username", user.username));
  return user;
}

Result<Capabilities> parse_capabilities(const json::Fields& fields) {
  Capabilities capabilities;
  BH_TRY(fields.read("bounding", capabilities.bounding));
  BH_TRY(fields.read("effective", capabilities.effective));
  BH_TRY(fields.read("permitted", capabilities.permitted));
  BH_TRY(fields.read("inheritable", capabilities.inheritable));
  BH_TRY(fields.read("ambient", capabilities.ambient));
  return capabilities;
}

Result<> parse_rlimits(const json::Fields& fields, Process& process) {
  return fields.each("rlimits", [&](const json::Value& value, std::string path) -> Result<> {
    const json::Fields one = BH_TRY(json::Fields::create(value, std::move(path)));
    ResourceLimit limit;
    BH_TRY(one.require("type", limit.type));
    BH_TRY(one.require("hard", limit.hard));
    BH_TRY(one.require("soft", limit.soft));
    if (limit.soft > limit.hard) {
      return fail(ErrorCode::Invalid, "{}: soft limit {} is above the hard limit {}", one.path(),
                  limit.soft, limit.hard);
    }
    if (std::ranges::find(process.rlimits, limit.type, &ResourceLimit::type) !=
        process.rlimits.end()) {
      return fail(ErrorCode::Invalid, "{}: {} stands twice", one.path(), quote(limit.type));
    }
    process.rlimits.push_back(std::move(limit));
    return {};
  });
}

Result<Process> parse_process(const json::Fields& fields) {
  Process process;
  BH_TRY(fields.read("terminal", process.terminal));
  if (const std::optional<json::Fields> size = BH_TRY(fields.object("consoleSize"))) {
    ConsoleSize console;
    BH_TRY(size->read("height", console.height));
    BH_TRY(size->read("width", console.width));
    process.console_size = console;
  }
  if (const std::optional<json::Fields> user = BH_TRY(fields.object("user"))) {
    process.user = BH_TRY(parse_user(*user));
  }
  BH_TRY(fields.read("args", process.args));
  if (process.args.empty()) {
    return fail(ErrorCode::Invalid, "{}: is empty: there is no program to run",
                fields.member_path("args"));
  }
  BH_TRY(fields.read("env", process.env));
  BH_TRY(check_process_strings(process.args, process.env, fields.path()));
  BH_TRY(fields.require("cwd", process.cwd));
  BH_TRY(check_absolute_path(process.cwd, fields.member_path("cwd")));
  if (const std::optional<json::Fields> capabilities = BH_TRY(fields.object("capabilities"))) {
    process.capabilities = BH_TRY(parse_capabilities(*capabilities));
  }
  BH_TRY(parse_rlimits(fields, process));
  BH_TRY(fields.read("noNewPrivileges", process.no_new_privileges));
  BH_TRY(fields.read("oomScoreAdj", process.oom_score_adj));
  return process;
}

Result<> parse_mounts(const json::Fields& fields, Spec& spec) {
  return fields.each("mounts", [&](const json::Value& value, std::string path) -> Result<> {
    const json::Fields one = BH_TRY(json::Fields::create(value, std::move(path)));
    Mount mount;
    BH_TRY(one.require("destination", mount.destination));
    BH_TRY(check_absolute_path(mount.destination, one.member_path("destination")));
    BH_TRY(one.read("type", mount.type));
    BH_TRY(one.read("source", mount.source));
    BH_TRY(one.read("options", mount.options));
    spec.mounts.push_back(std::move(mount));
    return {};
  });
}

Result<Resources> parse_resources(const json::Fields& fields) {
  Resources resources;
  if (const std::optional<json::Fields> memory = BH_TRY(fields.object("memory"))) {
    BH_TRY(memory->read("limit", resources.memory_limit_bytes));
    BH_TRY(memory->read("reservation", resources.memory_reservation_bytes));
    BH_TRY(memory->read("swap", resources.memory_swap_bytes));
  }
  if (const std::optional<json::Fields> cpu = BH_TRY(fields.object("cpu"))) {
    BH_TRY(cpu->read("shares", resources.cpu_shares));
    BH_TRY(cpu->read("quota", resources.cpu_quota_microseconds));
    BH_TRY(cpu->read("period", resources.cpu_period_microseconds));
    BH_TRY(cpu->read("cpus", resources.cpuset));
  }
  if (const std::optional<json::Fields> pids = BH_TRY(fields.object("pids"))) {
    BH_TRY(pids->read("limit", resources.pids_limit));
  }
  return resources;
}

Result<> check_sysctl_name(std::string_view name) {
  const bool is_plain = !name.empty() && !name.contains("..") && !name.starts_with('/') &&
                        std::ranges::all_of(name, [](char c) {
                          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                 (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
                                 c == '/';
                        });
  if (!is_plain) {
    return fail(ErrorCode::Invalid, "{}: linux.sysctl: {} is not a sysctl name", kWhat,
                quote(name));
  }
  return {};
}

Result<LinuxSettings> parse_linux(const json::Fields& fields) {
  LinuxSettings settings;
  BH_TRY(fields.each("namespaces", [&](const json::Value& value, std::string path) -> Result<> {
    const json::Fields one = BH_TRY(json::Fields::create(value, std::move(path)));
    Namespace name_space;
    BH_TRY(one.require("type", name_space.type));
    BH_TRY(one.read("path", name_space.path));
    settings.namespaces.push_back(std::move(name_space));
    return {};
  }));
  if (const std::optional<json::Fields> resources = BH_TRY(fields.object("resources"))) {
    settings.resources = BH_TRY(parse_resources(*resources));
  }
  BH_TRY(fields.read("sysctl", settings.sysctl));
  for (const auto& [name, value] : settings.sysctl) {
    BH_TRY(check_sysctl_name(name));
  }
  BH_TRY(fields.read("maskedPaths", settings.masked_paths));
  BH_TRY(fields.read("readonlyPaths", settings.readonly_paths));
  for (const auto* paths : {&settings.masked_paths, &settings.readonly_paths}) {
    for (const std::string& path : *paths) {
      BH_TRY(check_absolute_path(path, "config.json: linux.maskedPaths, readonlyPaths"));
    }
  }
  BH_TRY(fields.read("cgroupsPath", settings.cgroups_path));
  return settings;
}

Result<json::Value> parse_checked(std::string_view text) {
  json::Value value = BH_TRY(json::parse(text, kWhat));
  BH_TRY(check_no_nul(value, kWhat));
  return value;
}

// Writing. Members that are at their default are left out.

void set_list(json::Value& value, std::string_view name, const std::vector<std::string>& list) {
  if (!list.empty()) {
    value.set(name, list);
  }
}

void set_text(json::Value& value, std::string_view name, const std::string& text) {
  if (!text.empty()) {
    value.set(name, text);
  }
}

template <class T>
void set_number(json::Value& value, std::string_view name, const std::optional<T>& number) {
  if (number) {
    value.set(name, *number);
  }
}

void set_map(json::Value& value, std::string_view name,
             const std::map<std::string, std::string>& map) {
  if (!map.empty()) {
    json::Value object;
    for (const auto& [key, text] : map) {
      object.set(key, text);
    }
    value.set(name, std::move(object));
  }
}

void set_object(json::Value& value, std::string_view name, json::Value object) {
  if (object.is_object()) {
    value.set(name, std::move(object));
  }
}

json::Value user_value(const User& user) {
  json::Value value;
  value.set("uid", user.uid);
  value.set("gid", user.gid);
  set_number(value, "umask", user.umask);
  if (!user.additional_gids.empty()) {
    value.set("additionalGids",
              json::Array(user.additional_gids.begin(), user.additional_gids.end()));
  }
  set_text(value, "username", user.username);
  return value;
}

json::Value process_value(const Process& process) {
  json::Value value;
  value.set("terminal", process.terminal);
  if (process.console_size) {
    json::Value size;
    size.set("height", process.console_size->height);
    size.set("width", process.console_size->width);
    value.set("consoleSize", std::move(size));
  }
  value.set("user", user_value(process.user));
  value.set("args", process.args);
  set_list(value, "env", process.env);
  value.set("cwd", process.cwd);
  if (process.capabilities) {
    json::Value capabilities{json::Object()};
    set_list(capabilities, "bounding", process.capabilities->bounding);
    set_list(capabilities, "effective", process.capabilities->effective);
    set_list(capabilities, "permitted", process.capabilities->permitted);
    set_list(capabilities, "inheritable", process.capabilities->inheritable);
    set_list(capabilities, "ambient", process.capabilities->ambient);
    value.set("capabilities", std::move(capabilities));
  }
  if (!process.rlimits.empty()) {
    json::Array limits;
    for (const ResourceLimit& limit : process.rlimits) {
      json::Value one;
      one.set("type", limit.type);
      one.set("hard", limit.hard);
      one.set("soft", limit.soft);
      limits.push_back(std::move(one));
    }
    value.set("rlimits", std::move(limits));
  }
  value.set("noNewPrivileges", process.no_new_privileges);
  set_number(value, "oomScoreAdj", process.oom_score_adj);
  return value;
}

json::Value mounts_value(const std::vector<Mount>& mounts) {
  json::Array array;
  for (const Mount& mount : mounts) {
    json::Value one;
    one.set("destination", mount.destination);
    set_text(one, "type", mount.type);
    set_text(one, "source", mount.source);
    set_list(one, "options", mount.options);
    array.push_back(std::move(one));
  }
  return array;
}

json::Value resources_value(const Resources& resources) {
  json::Value memory;
  set_number(memory, "limit", resources.memory_limit_bytes);
  set_number(memory, "reservation", resources.memory_reservation_bytes);
  set_number(memory, "swap", resources.memory_swap_bytes);
  json::Value cpu;
  set_number(cpu, "shares", resources.cpu_shares);
  set_number(cpu, "quota", resources.cpu_quota_microseconds);
  set_number(cpu, "period", resources.cpu_period_microseconds);
  set_text(cpu, "cpus", resources.cpuset);
  json::Value pids;
  set_number(pids, "limit", resources.pids_limit);
  json::Value value;
  set_object(value, "memory", std::move(memory));
  set_object(value, "cpu", std::move(cpu));
  set_object(value, "pids", std::move(pids));
  return value;
}

json::Value linux_value(const LinuxSettings& settings) {
  json::Value value{json::Object()};
  json::Array namespaces;
  for (const Namespace& name_space : settings.namespaces) {
    json::Value one;
    one.set("type", name_space.type);
    set_text(one, "path", name_space.path);
    namespaces.push_back(std::move(one));
  }
  value.set("namespaces", std::move(namespaces));
  set_object(value, "resources", resources_value(settings.resources));
  set_map(value, "sysctl", settings.sysctl);
  set_list(value, "maskedPaths", settings.masked_paths);
  set_list(value, "readonlyPaths", settings.readonly_paths);
  set_text(value, "cgroupsPath", settings.cgroups_path);
  return value;
}

/// The first string in it that JSON cannot carry; null when there is none.
const std::string* find_not_utf8(const json::Value& value) {
  if (const std::string* text = value.as_string()) {
    return json::is_utf8(*text) ? nullptr : text;
  }
  if (const json::Array* array = value.as_array()) {
    for (const json::Value& one : *array) {
      if (const std::string* found = find_not_utf8(one)) {
        return found;
      }
    }
  }
  if (const json::Object* object = value.as_object()) {
    for (const json::Member& member : *object) {
      if (!json::is_utf8(member.name)) {
        return &member.name;
      }
      if (const std::string* found = find_not_utf8(member.value)) {
        return found;
      }
    }
  }
  return nullptr;
}

Result<std::string> write_checked(const json::Value& value) {
  if (const std::string* text = find_not_utf8(value)) {
    return fail(ErrorCode::Invalid, "{}: {} is not UTF-8 text", kWhat, quote(*text));
  }
  return json::write(value, json::Style::Pretty);
}

}  // namespace

Result<Process> Process::parse(std::string_view text) {
  const json::Value value = BH_TRY(parse_checked(text));
  return parse_process(BH_TRY(json::Fields::create(value, "process")));
}

Result<std::string> Process::serialise() const { return write_checked(process_value(*this)); }

Result<Resources> Resources::parse(std::string_view text) {
  const json::Value value = BH_TRY(parse_checked(text));
  return parse_resources(BH_TRY(json::Fields::create(value, "resources")));
}

Result<std::string> Resources::serialise() const {
  json::Value value = resources_value(*this);
  return write_checked(value.is_object() ? std::move(value) : json::Value(json::Object()));
}

Result<Spec> Spec::parse(std::string_view text) {
  const json::Value value = BH_TRY(parse_checked(text));
  const json::Fields fields = BH_TRY(json::Fields::create(value, std::string(kWhat)));
  Spec spec;
  BH_TRY(fields.require("ociVersion", spec.version));
  if (!spec.version.starts_with("1.")) {
    return fail(ErrorCode::Unsupported, "{}: runtime specification version {} is not supported",
                kWhat, quote(spec.version));
  }
  BH_TRY(fields.read("hostname", spec.hostname));
  BH_TRY(fields.read("domainname", spec.domainname));
  if (const std::optional<json::Fields> process = BH_TRY(fields.object("process"))) {
    spec.process = BH_TRY(parse_process(*process));
  }
  if (const std::optional<json::Fields> root = BH_TRY(fields.object("root"))) {
    BH_TRY(root->read("path", spec.root.path));
    BH_TRY(root->read("readonly", spec.root.readonly));
  }
  BH_TRY(parse_mounts(fields, spec));
  if (const std::optional<json::Fields> settings = BH_TRY(fields.object("linux"))) {
    spec.linux_settings = BH_TRY(parse_linux(*settings));
  }
  BH_TRY(fields.read("annotations", spec.annotations));
  return spec;
}

Result<std::string> Spec::serialise() const {
  json::Value value;
  value.set("ociVersion", version);
  if (process) {
    value.set("process", process_value(*process));
  }
  json::Value root_object;
  root_object.set("path", root.path);
  root_object.set("readonly", root.readonly);
  value.set("root", std::move(root_object));
  set_text(value, "hostname", hostname);
  set_text(value, "domainname", domainname);
  value.set("mounts", mounts_value(mounts));
  set_map(value, "annotations", annotations);
  value.set("linux", linux_value(linux_settings));
  return write_checked(value);
}

}  // namespace bulkhead::oci
