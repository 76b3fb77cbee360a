#pragma once

// The machines that stand by on this host: which there are, and whose each is.
//
// Each has a file of its container-to-be's id in the run directory, which says what machine it is
// and is renamed as it goes on: standby/making/<id> while it is being made, standby/ready/<id> when
// it waits, standby/taken/<id> from the moment that a container has it until that is created. Who
// renames it has it; who removes it ends it. A machine's process is the shim of that id, alive for
// as long as it holds the container's lock.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/process.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {

/// A container with these may have a machine that stands by: one without shares, data disks, and a
/// kernel of its own.
bool can_take_standby(const ContainerOptions& options, const oci::Spec& spec);

/// A machine that was made for the one serves the other.
bool is_same_machine(const ContainerOptions& one, const ContainerOptions& other);

struct StandbyRecord {
  std::string id;
  ContainerOptions options;
  bool is_ready = false;
  WallTime since;  ///< of its last step
};

class StandbyPool {
 public:
  explicit StandbyPool(config::Paths paths);

  // For who starts containers.

  /// The id for a container of these options whose machine waits for it and is nobody else's; its
  /// shim listens on the container's socket. Also notes that a container is started now, which
  /// keeps new machines from being made for a moment.
  [[nodiscard]] std::optional<std::string> take(const ContainerOptions& options) const;

  /// Lets machines of these options be made, in the background, until `most` stand by; others make
  /// room, those that wait for longest first. Returns the processes that it has started: whoever
  /// lives on reaps them.
  [[nodiscard]] Result<std::vector<os::Process>> refill(const ContainerOptions& options,
                                                        std::size_t most) const;

  /// There is, or was, one since the boot.
  [[nodiscard]] bool is_in_use() const;

  // For people.

  /// The oldest first. What is left of killed ones is removed.
  [[nodiscard]] Result<std::vector<StandbyRecord>> list() const;

  /// By its id, or the beginning of one that is like no other's; waits until it has ended. Errors:
  /// NotFound; Invalid when several begin like that; Timeout.
  [[nodiscard]] Result<> remove(const std::string& id_prefix) const;

  /// Why the last one that was to stand by does not; empty when it does.
  [[nodiscard]] std::string last_failure() const;

  // For its shim.

  /// What is to be made. Errors: NotFound when it is not wanted any more.
  [[nodiscard]] Result<ContainerOptions> options_of(const std::string& id) const;

  /// How long until it may be made: until no container was started for a moment. 0: now.
  [[nodiscard]] std::chrono::nanoseconds until_quiet() const;

  /// It waits from here on. Errors: NotFound when it is not wanted any more.
  [[nodiscard]] Result<> announce(const std::string& id) const;

  /// The file that is there while it is being made, and the one while it waits.
  [[nodiscard]] std::string making_file(const std::string& id) const;
  [[nodiscard]] std::string waiting_file(const std::string& id) const;
  [[nodiscard]] bool is_taken(const std::string& id) const;

  /// It does not stand by any more, or its container will not be: whatever became of it.
  void forget(const std::string& id) const;

  /// It cannot, and why.
  void fail_to_stand_by(const std::string& id, const Error& error) const;

 private:
  [[nodiscard]] std::string file(const char* stage, const std::string& id) const;
  [[nodiscard]] std::vector<StandbyRecord> read(const char* stage) const;
  [[nodiscard]] Result<os::Process> launch(const ContainerOptions& options) const;

  ContainerStore store_;
  std::string directory_;
};

}  // namespace bulkhead::runtime
