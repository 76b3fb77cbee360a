#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/platform.h"

namespace bulkhead::oci {

struct History {
  std::string created;
  std::string created_by;
  std::string comment;
  bool is_empty_layer = false;
};

/// What an image says about itself. It describes the container's process and nothing else: no
/// label, annotation or other field of it ever chooses what the host does.
/// Source: OCI image specification 1.1, config.md.
struct ImageConfig {
  Platform platform = Platform::host();
  std::string created;  ///< RFC 3339, or empty
  std::string author;

  std::string user;                      ///< checked by check_user()
  std::vector<std::string> environment;  ///< each "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string working_directory;  ///< absolute, or empty
  std::string stop_signal;
  std::vector<std::string> exposed_ports;  ///< "80/tcp", "8000-8010/udp"
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;

  /// Digests of the layers' tar streams, lowest first.
  std::vector<Digest> diff_ids;
  std::vector<History> history;

  /// Strings for the process are bounded as the kernel bounds them (128 KiB each, 2 MiB together)
  /// and hold no NUL.
  /// Errors: Invalid, ResourceExhausted, Unsupported.
  static Result<ImageConfig> parse(std::string_view text);

  /// For images that we make. Parsing it gives the same config.
  [[nodiscard]] std::string serialise() const;
};

/// An image's User or the option `--user`: "", "name", "uid", and either with ":group" or ":gid".
/// Numbers are at most 2^31-1. What looks like a number but is none fails, so that nothing strange
/// ever becomes root (CVE-2024-40635). Whether a name exists is found out in the container.
/// Errors: Invalid.
Result<> check_user(std::string_view text);

/// "15", "TERM", "SIGTERM", "SIGRTMIN+3" as a number. Errors: Invalid.
Result<int> parse_signal(std::string_view text);

}  // namespace bulkhead::oci
