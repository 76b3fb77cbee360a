#pragma once

// The containers of this installation, as they lie on disk: what the command line uses.
//
// A container is a directory in the state directory, containers/<id>, with container.json (what it
// is), config.json (its OCI specification) and state.json (how it is, written by its shim). While
// it has a shim there is a directory in the run directory too, with the shim's socket and a file
// "lock" that the shim has locked for as long as it lives. So what state.json says is true when the
// lock is held or the status is "stopped", and otherwise the shim was killed: reap_dead().

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {

struct StoredContainer {
  ContainerRecord record;
  ContainerState state;
};

class ContainerStore {
 public:
  /// Makes the directories. Errors: PermissionDenied, …
  static Result<ContainerStore> open(config::Paths paths);

  /// For looking: makes nothing. What is absent is NotFound when it is asked for.
  static ContainerStore existing(config::Paths paths) { return ContainerStore(std::move(paths)); }

  /// Writes a new container to disk. An empty id is made; an empty name is made up; log_path and
  /// scratch_path of the options, when empty, become files in its directory; `created` is set, and
  /// the options' `managed` and `remove_on_exit`.
  /// Errors: AlreadyExists for a name that is taken; Invalid for a name that is none.
  Result<ContainerRecord> create(ContainerRecord record, const oci::Spec& spec);

  /// Lets `change` alter the options that the container's next start is made with, and writes them
  /// down. Errors: NotFound; Invalid for options that no machine can be made with.
  Result<> change_options(const std::string& id,
                          const std::function<void(ContainerOptions&)>& change);

  /// In order of creation, oldest first. A container that cannot be read is passed over with a
  /// warning.
  [[nodiscard]] Result<std::vector<StoredContainer>> list() const;

  /// By name, id, or the beginning of an id that is like no other's.
  /// Errors: NotFound; Invalid when several begin like that.
  [[nodiscard]] Result<StoredContainer> find(std::string_view name_or_id) const;

  /// By its whole id. Errors: NotFound, Corrupt.
  [[nodiscard]] Result<StoredContainer> load(const std::string& id) const;

  /// Without a state.json a container is "created". Errors: Corrupt.
  [[nodiscard]] Result<ContainerState> load_state(const std::string& id) const;

  /// Whether a file must outlast a power cut. Waiting for the disk takes milliseconds, which a
  /// container that ends with the boot need not pay.
  enum class Durability : std::uint8_t { UntilReboot, Durable };

  /// Whole or not at all.
  Result<> save_state(const std::string& id, const ContainerState& state, Durability durability);

  /// The right to be, or to start, the container's shim: nothing while there is a shim. Hand it to
  /// launch_shim(). Makes the run directory. Errors: NotFound when there is no such container.
  [[nodiscard]] Result<std::optional<os::FileLock>> try_lock(const std::string& id) const;

  /// The same, waiting until the shim that is ending has ended. Errors: Timeout, NotFound.
  [[nodiscard]] Result<os::FileLock> lock(const std::string& id,
                                          std::chrono::milliseconds timeout) const;

  /// Waits until there is no shim any more; the container may be gone then. Errors: Timeout.
  [[nodiscard]] Result<> wait_for_end(const std::string& id,
                                      std::chrono::milliseconds timeout) const;

  /// Whether a shim lives.
  [[nodiscard]] bool has_shim(const std::string& id) const;

  /// Removes everything of a container without a shim. An absent one is fine.
  /// Errors: FailedPrecondition when it has one.
  Result<> remove(const std::string& id);

  /// For the shim itself, which holds the lock: the name is free and the container gone from
  /// list() at once; what is left of its files goes with remove_rest().
  Result<> remove_own(const std::string& id);
  void remove_rest(const std::string& id);

  /// Removes the run directory.
  Result<> remove_run_directory(const std::string& id) const;

  /// Finds containers whose shim was killed and writes that down: status stopped, exit code 137.
  /// `release` gives back what the container had besides files (its network address). Containers
  /// with auto_remove are removed. Kills nothing: a virtual machine ends with its shim.
  /// Returns the ids.
  Result<std::vector<std::string>> reap_dead(
      const std::function<void(const std::string&)>& release);

  [[nodiscard]] const config::Paths& paths() const { return paths_; }

  [[nodiscard]] std::string bundle(const std::string& id) const;
  [[nodiscard]] std::string socket_path(const std::string& id) const;
  [[nodiscard]] std::string log_path(const std::string& id) const;

 private:
  explicit ContainerStore(config::Paths paths) : paths_(std::move(paths)) {}

  [[nodiscard]] std::string names_directory() const { return paths_.state + "/names"; }

  [[nodiscard]] std::string trash_directory() const { return paths_.state + "/trash"; }

  [[nodiscard]] Result<os::FileLock> lock_store() const;
  [[nodiscard]] Result<std::vector<std::string>> ids() const;
  [[nodiscard]] std::optional<std::string> id_of_name(const std::string& name) const;
  Result<> claim_name(const std::string& name, const std::string& id, Durability durability);
  Result<> write_files(const ContainerRecord& record, const std::string& spec,
                       Durability durability);
  Result<> detach_files(const std::string& id, const std::string& name);
  [[nodiscard]] bool has_no_record(const std::string& id) const;
  [[nodiscard]] Result<bool> is_remains(const std::string& id) const;
  Result<bool> reap_one(const std::string& id,
                        const std::function<void(const std::string&)>& release);

  config::Paths paths_;
};

}  // namespace bulkhead::runtime
