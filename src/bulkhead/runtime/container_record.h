#pragma once

// What is kept on disk of a container of Bulkhead's own: docs/formats/container.md.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {

/// container.json: what a container is. Written when it is created; of it only the options change
/// after that.
struct ContainerRecord {
  std::string id;            ///< 64 hex digits
  std::string name;          ///< unique among containers
  std::string image;         ///< the reference, as it was asked for, normalised
  std::string image_digest;  ///< of the manifest
  std::string image_id;      ///< digest of the config
  std::string root;          ///< path of the base image
  WallTime created{};
  std::vector<std::string> command;  ///< for people
  std::map<std::string, std::string> labels;
  std::string stop_signal;  ///< what `stop` sends, as the image says; empty: SIGTERM
  bool auto_remove = false;
  /// Create's options, for every start of it.
  ContainerOptions options;

  /// Errors: Corrupt.
  static Result<ContainerRecord> parse(std::string_view text);
  [[nodiscard]] std::string serialise() const;
};

enum class ContainerStatus : std::uint8_t { Created, Running, Stopped };

std::string_view to_string(ContainerStatus status);

/// state.json: how a container is. Written by its shim alone, and by reap_dead() for a shim that
/// was killed.
struct ContainerState {
  ContainerStatus status = ContainerStatus::Created;
  std::int32_t shim_pid = 0;  ///< 0: no shim has had it yet
  std::int32_t vm_pid = 0;
  std::optional<WallTime> created_at;  ///< of the virtual machine
  std::optional<WallTime> started_at;
  std::optional<WallTime> finished_at;
  std::uint32_t exit_code = 0;
  std::string error;  ///< why it ended, when it was not its process that ended
  bool oom_killed = false;
  bool warm = false;     ///< it was started from a template
  bool standby = false;  ///< and its machine stood by for it
  std::string network;
  std::string address;
  std::string mac;

  /// Errors: Corrupt.
  static Result<ContainerState> parse(std::string_view text);
  [[nodiscard]] std::string serialise() const;
};

}  // namespace bulkhead::runtime
