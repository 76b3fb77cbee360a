#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::oci {

// The part of the OCI runtime specification (1.1, config.md and config-linux.md) that we act on.
// Members carry the specification's defaults.

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
  /// An image's text, "name[:group]" or numbers: when not empty it is looked up in the container's
  /// own /etc/passwd and /etc/group and overrides the numbers above. (The specification has this
  /// member for Windows only; other runtimes ignore it.)
  std::string username;
};

/// Names such as "CAP_CHOWN".
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> permitted;
  std::vector<std::string> inheritable;
  std::vector<std::string> ambient;
};

struct ResourceLimit {
  std::string type;  ///< "RLIMIT_NOFILE"
  std::uint64_t hard = 0;
  std::uint64_t soft = 0;
};

struct ConsoleSize {
  std::uint32_t height = 0;
  std::uint32_t width = 0;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;
  std::vector<ResourceLimit> rlimits;
  bool no_new_privileges = false;
  std::optional<std::int32_t> oom_score_adj;

  /// Parses the process alone, as an Exec request has it. Errors: Invalid.
  static Result<Process> parse(std::string_view text);

  /// Errors: Invalid when a string is not UTF-8, which JSON cannot carry.
  [[nodiscard]] Result<std::string> serialise() const;
};

struct Root {
  std::string path;
  bool readonly = false;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

struct Namespace {
  std::string type;  ///< "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
  std::string path;
};

struct Resources {
  std::optional<std::int64_t> memory_limit_bytes;
  std::optional<std::int64_t> memory_reservation_bytes;
  std::optional<std::int64_t> memory_swap_bytes;
  std::optional<std::uint64_t> cpu_shares;
  std::optional<std::int64_t> cpu_quota_microseconds;
  std::optional<std::uint64_t> cpu_period_microseconds;
  std::string cpuset;
  std::optional<std::int64_t> pids_limit;

  /// Parses linux.resources alone, as an Update request has it. Errors: Invalid.
  static Result<Resources> parse(std::string_view text);

  /// Errors: Invalid when a string is not UTF-8, which JSON cannot carry.
  [[nodiscard]] Result<std::string> serialise() const;
};

struct LinuxSettings {
  std::vector<Namespace> namespaces;
  Resources resources;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string cgroups_path;
};

struct Spec {
  std::string version = "1.0.2";
  std::string hostname;
  std::string domainname;
  std::optional<Process> process;
  Root root;
  std::vector<Mount> mounts;
  LinuxSettings linux_settings;
  std::map<std::string, std::string> annotations;

  /// Members that we do not know are passed over. Checked: types and ranges; no NUL anywhere;
  /// mount destinations and the working directory absolute.
  /// Errors: Invalid, ResourceExhausted.
  static Result<Spec> parse(std::string_view text);

  /// A config.json. Errors: Invalid when a string is not UTF-8, which JSON cannot carry.
  [[nodiscard]] Result<std::string> serialise() const;
};

/// What docker gives a container that asks for nothing: capabilities, mounts, masked and read-only
/// paths, limits, namespaces. The process has no arguments yet.
Spec default_spec();

/// The names of docker's default capability set.
const std::vector<std::string>& default_capabilities();

}  // namespace bulkhead::oci
