#include "bulkhead/cli/mounts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file_info.h"

namespace bulkhead::cli {
namespace {

bool contains(const auto& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

/// Hints to docker and podman about things that a share has not: labels, caches of other systems,
/// copies into volumes.
constexpr std::array<std::string_view, 8> kWithoutEffect = {
    "z", "Z", "cached", "delegated", "consistent", "default", "nocopy", "copy"};

constexpr std::array<std::string_view, 8> kBindFlags = {"ro",     "rw",   "bind",   "rbind",
                                                        "nosuid", "suid", "noexec", "exec"};

constexpr std::array<std::string_view, 2> kPrivate = {"private", "rprivate"};
constexpr std::array<std::string_view, 4> kPropagating = {"shared", "rshared", "slave", "rslave"};

/// Absolute, without "." and ".." and a slash at the end.
Result<std::string> container_path(std::string_view path) {
  if (!path.starts_with('/')) {
    return fail(ErrorCode::Invalid, "{}: the path in the container is not absolute", quote(path));
  }
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with('/')) {
    normal.pop_back();
  }
  if (normal.find_first_not_of('/') == std::string::npos) {
    return fail(ErrorCode::Invalid, "the container's root cannot be mounted over");
  }
  return normal;
}

Result<std::string> host_path(std::string_view path, const std::string& directory) {
  if (path.empty()) {
    return fail(ErrorCode::Invalid, "no path on the host");
  }
  // An absolute path takes the place of the directory.
  std::string absolute = (std::filesystem::path(directory) / path).lexically_normal().string();
  if (!os::file_info(absolute)) {
    return fail(ErrorCode::NotFound, "{} does not exist on the host", quote(absolute));
  }
  return absolute;
}

/// Those of a bind mount that mean something.
Result<std::vector<std::string>> bind_options(const std::vector<std::string_view>& words) {
  std::vector<std::string> options;
  for (const std::string_view word : words) {
    if (contains(kPropagating, word)) {
      return fail(ErrorCode::Unsupported,
                  "{}: mounts made later do not travel between a host and its virtual machine",
                  word);
    }
    if (contains(kBindFlags, word)) {
      options.emplace_back(word);
    } else if (!word.empty() && !contains(kWithoutEffect, word) && !contains(kPrivate, word)) {
      return fail(ErrorCode::Invalid, "{}: not an option of a shared directory", quote(word));
    }
  }
  if (!contains(options, "bind") && !contains(options, "rbind")) {
    options.emplace_back("rbind");
  }
  return options;
}

oci::Mount tmpfs_mount(std::string destination, const std::vector<std::string_view>& options) {
  oci::Mount mount{.destination = std::move(destination),
                   .type = "tmpfs",
                   .source = "tmpfs",
                   .options = {"noexec", "nosuid", "nodev"}};
  // Later ones win: "exec" takes "noexec" away.
  for (const std::string_view option : options) {
    if (!option.empty()) {
      mount.options.emplace_back(option);
    }
  }
  return mount;
}

Result<> refuse_name(std::string_view source) {
  if (!source.empty() && !source.starts_with('/') && !source.starts_with('.')) {
    return fail(ErrorCode::Unsupported,
                "named volumes do not exist; for a directory of the host write ./{}", source);
  }
  return {};
}

Result<oci::Mount> parse_volume(std::string_view text, const std::string& directory) {
  const std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() == 1) {
    return fail(ErrorCode::Unsupported, "volumes without a directory of the host do not exist");
  }
  if (parts.size() > 3) {
    return fail(ErrorCode::Invalid, "not HOST:CONTAINER[:OPTIONS]");
  }
  oci::Mount mount{.destination = {}, .type = "bind", .source = {}, .options = {}};
  BH_TRY(refuse_name(parts[0]));
  mount.source = BH_TRY(host_path(parts[0], directory));
  mount.destination = BH_TRY(container_path(parts[1]));
  const auto words = parts.size() == 3 ? split(parts[2], ',') : std::vector<std::string_view>();
  mount.options = BH_TRY(bind_options(words));
  return mount;
}

Result<oci::Mount> parse_disk(std::string_view text, const std::string& directory) {
  const std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3) {
    return fail(ErrorCode::Invalid, "not FILE:CONTAINER[:ro]");
  }
  const std::string_view access = parts.size() == 3 ? parts[2] : "rw";
  if (access != "ro" && access != "rw") {
    return fail(ErrorCode::Invalid, "{}: neither ro nor rw", quote(access));
  }
  oci::Mount mount{.destination = {}, .type = "ext4", .source = {}, .options = {}};
  mount.source = BH_TRY(host_path(parts[0], directory));
  mount.destination = BH_TRY(container_path(parts[1]));
  mount.options.emplace_back(access);
  return mount;
}

Result<oci::Mount> parse_tmpfs(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view options =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  return tmpfs_mount(BH_TRY(container_path(text.substr(0, colon))), split(options, ','));
}

/// "readonly", "readonly=true" and so on.
Result<bool> truth(std::string_view key, std::optional<std::string_view> value) {
  if (!value || contains(std::array<std::string_view, 2>{"true", "1"}, *value)) {
    return true;
  }
  if (contains(std::array<std::string_view, 2>{"false", "0"}, *value)) {
    return false;
  }
  return fail(ErrorCode::Invalid, "{}={}: neither true nor false", key, quote(*value));
}

/// The fields of --mount.
struct MountFields {
  std::string type = "volume";  // as docker has it
  std::string source;
  std::string destination;
  std::vector<std::string_view> options;  // of a bind mount
  std::vector<std::string> tmpfs_options;
};

Result<> take_flag(std::string_view key, std::optional<std::string_view> value,
                   std::string_view option, MountFields& fields) {
  if (BH_TRY(truth(key, value))) {
    fields.options.push_back(option);
  }
  return {};
}

Result<> take_field(std::string_view text, MountFields& fields) {
  const std::size_t equals = text.find('=');
  const std::string_view key = text.substr(0, equals);
  const auto value = equals == std::string_view::npos
                         ? std::nullopt
                         : std::optional<std::string_view>(text.substr(equals + 1));
  const auto is = [&](const auto&... names) { return ((key == names) || ...); };
  if (is("readonly", "ro")) {
    return take_flag(key, value, "ro", fields);
  }
  if (is("bind-nonrecursive")) {
    return take_flag(key, value, "bind", fields);
  }
  if (!value) {
    return fail(ErrorCode::Invalid, "{}: not KEY=VALUE", quote(text));
  }
  if (is("type")) {
    fields.type = *value;
  } else if (is("source", "src")) {
    fields.source = *value;
  } else if (is("destination", "dst", "target")) {
    fields.destination = *value;
  } else if (is("bind-propagation", "consistency", "relabel")) {
    fields.options.push_back(*value == "shared" && key == "relabel" ? "z" : *value);
  } else if (is("tmpfs-size", "tmpfs-mode")) {
    const std::string size = key == "tmpfs-size"
                                 ? std::to_string(BH_TRY(parse_size(*value).context(key)))
                                 : std::string(*value);
    fields.tmpfs_options.push_back(fmt::format("{}={}", key.substr(key.find('-') + 1), size));
  } else {
    return fail(ErrorCode::Invalid, "{}: not a field that is known", quote(key));
  }
  return {};
}

Result<oci::Mount> parse_mount(std::string_view text, const std::string& directory) {
  MountFields fields;
  for (const std::string_view field : split(text, ',')) {
    BH_TRY(take_field(field, fields));
  }
  std::string destination = BH_TRY(container_path(fields.destination));
  if (fields.type == "tmpfs") {
    std::vector<std::string_view> options = fields.options;
    options.insert(options.end(), fields.tmpfs_options.begin(), fields.tmpfs_options.end());
    return tmpfs_mount(std::move(destination), options);
  }
  if (fields.type != "bind") {
    return fail(ErrorCode::Unsupported, "type {}: only bind and tmpfs exist", quote(fields.type));
  }
  oci::Mount mount{
      .destination = std::move(destination), .type = "bind", .source = {}, .options = {}};
  BH_TRY(refuse_name(fields.source));
  mount.source = BH_TRY(host_path(fields.source, directory));
  mount.options = BH_TRY(bind_options(fields.options));
  return mount;
}

template <class Parse>
Result<> parse_all(std::string_view option, const std::vector<std::string>& texts, Parse parse,
                   std::vector<oci::Mount>& mounts) {
  for (const std::string& text : texts) {
    mounts.push_back(BH_TRY(parse(text).context(fmt::format("{} {}", option, text))));
  }
  return {};
}

}  // namespace

Result<std::vector<oci::Mount>> parse_mounts(const MountOptions& options,
                                             const std::string& directory) {
  std::vector<oci::Mount> mounts;
  BH_TRY(parse_all(
      "-v", options.volumes, [&](std::string_view text) { return parse_volume(text, directory); },
      mounts));
  BH_TRY(parse_all(
      "--mount", options.mounts,
      [&](std::string_view text) { return parse_mount(text, directory); }, mounts));
  BH_TRY(parse_all("--tmpfs", options.tmpfs, parse_tmpfs, mounts));
  BH_TRY(parse_all(
      "--disk", options.disks, [&](std::string_view text) { return parse_disk(text, directory); },
      mounts));
  // A path is behind those that contain it.
  std::ranges::sort(mounts, {}, &oci::Mount::destination);
  const auto twin = std::ranges::adjacent_find(mounts, {}, &oci::Mount::destination);
  if (twin != mounts.end()) {
    return fail(ErrorCode::Invalid, "two mounts are wanted at {}", twin->destination);
  }
  return mounts;
}

void add_mounts(std::vector<oci::Mount> mounts, oci::Spec& spec) {
  for (oci::Mount& mount : mounts) {
    const auto there = std::ranges::find(spec.mounts, mount.destination, &oci::Mount::destination);
    if (there != spec.mounts.end()) {
      *there = std::move(mount);
    } else {
      spec.mounts.push_back(std::move(mount));
    }
  }
}

std::vector<oci::Mount> added_mounts(const oci::Spec& spec) {
  const oci::Spec defaults = oci::default_spec();
  std::vector<oci::Mount> mounts = spec.mounts;
  std::erase_if(mounts, [&](const oci::Mount& mount) {
    return std::ranges::any_of(defaults.mounts, [&](const oci::Mount& usual) {
      return usual.destination == mount.destination && usual.type == mount.type &&
             usual.source == mount.source;
    });
  });
  return mounts;
}

}  // namespace bulkhead::cli
