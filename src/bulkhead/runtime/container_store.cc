#include "bulkhead/runtime/container_store.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/replace_file.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {
namespace {

constexpr std::uint32_t kKilledStatus = 137;
constexpr int kNameAttempts = 20;

Result<std::string> fresh_id(const config::Paths& paths) {
  while (true) {
    std::string id = BH_TRY(make_id());
    // 12 digits of digits alone would look like a number to some tools, as docker found.
    const bool has_letter =
        std::ranges::any_of(id.substr(0, 12), [](char c) { return c >= 'a' && c <= 'f'; });
    if (has_letter && !os::path_exists(paths.container_state(id))) {
      return id;
    }
  }
}

Result<> write_file(const std::string& path, const std::string& content,
                    ContainerStore::Durability durability) {
  return durability == ContainerStore::Durability::Durable
             ? os::write_file_atomically(path, content, 0600)
             : os::replace_file(path, content, 0600);
}

/// A container that is removed when it ends does not outlast the boot.
ContainerStore::Durability durability_of(const ContainerRecord& record) {
  return record.auto_remove ? ContainerStore::Durability::UntilReboot
                            : ContainerStore::Durability::Durable;
}

}  // namespace

Result<ContainerStore> ContainerStore::open(config::Paths paths) {
  ContainerStore store(std::move(paths));
  BH_TRY(os::make_directories(store.paths_.state, 0711));
  BH_TRY(os::make_directories(store.paths_.containers(), 0700));
  BH_TRY(os::make_directories(store.names_directory(), 0700));
  BH_TRY(os::make_directories(store.paths_.run, 0711));
  BH_TRY(os::make_directories(store.paths_.run + "/containers", 0700));
  return store;
}

std::string ContainerStore::bundle(const std::string& id) const {
  return paths_.container_state(id);
}

std::string ContainerStore::socket_path(const std::string& id) const {
  return paths_.container_run(id) + "/shim.sock";
}

std::string ContainerStore::log_path(const std::string& id) const {
  return paths_.container_state(id) + "/log";
}

/// Held while names and directories change, for microseconds.
Result<os::FileLock> ContainerStore::lock_store() const {
  return os::FileLock::acquire(paths_.state + "/containers.lock");
}

Result<std::vector<std::string>> ContainerStore::ids() const {
  std::vector<std::string> found = BH_TRY(os::list_directory(paths_.containers()));
  std::erase_if(found,
                [](const std::string& name) { return name.size() != 64 || !is_id_prefix(name); });
  return found;
}

/// Nothing for a name that was taken by a container that never came to be.
std::optional<std::string> ContainerStore::id_of_name(const std::string& name) const {
  const auto id = os::read_file(names_directory() + "/" + name, 128);
  if (!id || !is_id_prefix(*id) || !os::path_exists(paths_.container_state(*id))) {
    return std::nullopt;
  }
  return *id;
}

Result<> ContainerStore::claim_name(const std::string& name, const std::string& id,
                                    Durability durability) {
  if (const auto owner = id_of_name(name)) {
    return fail(ErrorCode::AlreadyExists, "name {} is in use by container {}", quote(name),
                owner->substr(0, 12));
  }
  return write_file(names_directory() + "/" + name, id, durability);
}

Result<> ContainerStore::write_files(const ContainerRecord& record, const std::string& spec,
                                     Durability durability) {
  const std::string directory = paths_.container_state(record.id);
  BH_TRY(os::make_directories(directory, 0700));
  BH_TRY(write_file(directory + "/config.json", spec, durability));
  return write_file(directory + "/container.json", record.serialise(), durability);
}

Result<ContainerRecord> ContainerStore::create(ContainerRecord record, const oci::Spec& spec) {
  const std::string spec_text = BH_TRY(spec.serialise());
  if (record.id.empty()) {
    record.id = BH_TRY(fresh_id(paths_));
  }
  const bool make_up = record.name.empty();
  if (!make_up) {
    BH_TRY(validate_name("container name", record.name));
  }
  const std::string directory = paths_.container_state(record.id);
  record.created = wall_now();
  record.options.managed = true;
  record.options.remove_on_exit = record.auto_remove;
  if (record.options.log_path.empty()) {
    record.options.log_path = log_path(record.id);
  }
  if (record.options.scratch_path.empty()) {
    record.options.scratch_path = directory + "/scratch.ext4";
  }
  BH_TRY(record.options.settle());

  const os::FileLock lock = BH_TRY(lock_store());
  if (os::path_exists(directory)) {
    return fail(ErrorCode::AlreadyExists, "container {} exists", record.id.substr(0, 12));
  }
  for (int attempt = 0; make_up; ++attempt) {
    record.name = BH_TRY(make_up_name());
    if (attempt >= kNameAttempts) {
      record.name += "-" + record.id.substr(0, 6);
    }
    if (!id_of_name(record.name)) {
      break;
    }
  }
  const Durability durability = durability_of(record);
  BH_TRY(claim_name(record.name, record.id, durability));
  if (auto written = write_files(record, spec_text, durability); !written) {
    std::ignore = os::remove_tree(directory);
    std::ignore = os::remove_file(names_directory() + "/" + record.name);
    return std::move(written.error()).context("create container");
  }
  return record;
}

Result<> ContainerStore::change_options(const std::string& id,
                                        const std::function<void(ContainerOptions&)>& change) {
  // It is not removed meanwhile, and nobody else changes it.
  const os::FileLock lock = BH_TRY(lock_store());
  ContainerRecord record = BH_TRY(load(id)).record;
  change(record.options);
  BH_TRY(record.options.settle());
  return write_file(paths_.container_state(id) + "/container.json", record.serialise(),
                    durability_of(record));
}

Result<ContainerState> ContainerStore::load_state(const std::string& id) const {
  const auto text = os::read_file(paths_.container_state(id) + "/state.json");
  if (!text) {
    if (text.error().code() == ErrorCode::NotFound) {
      return ContainerState{};
    }
    return text.error();
  }
  return ContainerState::parse(*text);
}

Result<> ContainerStore::save_state(const std::string& id, const ContainerState& state,
                                    Durability durability) {
  return write_file(paths_.container_state(id) + "/state.json", state.serialise(), durability);
}

Result<StoredContainer> ContainerStore::load(const std::string& id) const {
  const auto text = os::read_file(paths_.container_state(id) + "/container.json");
  if (!text) {
    if (text.error().code() == ErrorCode::NotFound) {
      return fail(ErrorCode::NotFound, "container {}: not found", quote(id));
    }
    return text.error();
  }
  StoredContainer container;
  container.record = BH_TRY(ContainerRecord::parse(*text).context(id.substr(0, 12)));
  if (container.record.id != id) {
    return fail(ErrorCode::Corrupt, "container {}: its record names another", id.substr(0, 12));
  }
  container.state = BH_TRY(load_state(id).context(id.substr(0, 12)));
  return container;
}

Result<std::vector<StoredContainer>> ContainerStore::list() const {
  std::vector<StoredContainer> containers;
  for (const std::string& id : BH_TRY(ids())) {
    auto container = load(id);
    if (container) {
      containers.push_back(*std::move(container));
    } else if (container.error().code() != ErrorCode::NotFound) {
      // Not found: removed, or not complete, at this moment.
      log::warning("{}", container.error().message());
    }
  }
  std::ranges::stable_sort(containers, {},
                           [](const StoredContainer& one) { return one.record.created; });
  return containers;
}

Result<StoredContainer> ContainerStore::find(std::string_view name_or_id) const {
  const std::string wanted(name_or_id);
  if (validate_name("container", wanted)) {
    if (const auto id = id_of_name(wanted)) {
      return load(*id);
    }
  }
  if (is_id_prefix(wanted)) {
    std::vector<std::string> candidates = BH_TRY(ids());
    std::erase_if(candidates, [&](const std::string& id) { return !id.starts_with(wanted); });
    if (candidates.size() > 1) {
      return fail(ErrorCode::Invalid, "container {}: {} containers begin like that", quote(wanted),
                  candidates.size());
    }
    if (candidates.size() == 1) {
      return load(candidates.front());
    }
  }
  return fail(ErrorCode::NotFound, "container {}: not found", quote(wanted));
}

Result<std::optional<os::FileLock>> ContainerStore::try_lock(const std::string& id) const {
  const std::string directory = paths_.container_run(id);
  // A shim that ends removes the directory: between making it and locking it may be gone.
  for (int attempt = 0;; ++attempt) {
    if (!os::path_exists(paths_.container_state(id)) && !os::path_exists(directory)) {
      return fail(ErrorCode::NotFound, "container {}: not found", quote(id));
    }
    BH_TRY(os::make_directories(directory, 0700));
    auto lock = os::FileLock::try_acquire(directory + "/lock");
    if (lock || lock.error().code() != ErrorCode::NotFound || attempt == 10) {
      return lock;
    }
  }
}

namespace {

/// Calls `look` until it says true, less and less often. Errors: Timeout, and those of `look`.
Result<> poll(const std::string& id, std::chrono::milliseconds timeout,
              const std::function<Result<bool>()>& look) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::chrono::milliseconds pause{1};
  while (!BH_TRY(look())) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::Timeout, "container {}: its shim has not ended", id.substr(0, 12));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(20));
  }
  return {};
}

}  // namespace

Result<os::FileLock> ContainerStore::lock(const std::string& id,
                                          std::chrono::milliseconds timeout) const {
  std::optional<os::FileLock> lock;
  BH_TRY(poll(id, timeout, [&]() -> Result<bool> {
    lock = BH_TRY(try_lock(id));
    return lock.has_value();
  }));
  return *std::move(lock);
}

Result<> ContainerStore::wait_for_end(const std::string& id,
                                      std::chrono::milliseconds timeout) const {
  return poll(id, timeout, [&]() -> Result<bool> { return !has_shim(id); });
}

bool ContainerStore::has_shim(const std::string& id) const {
  const std::string path = paths_.container_run(id) + "/lock";
  if (!os::path_exists(path)) {
    return false;
  }
  const auto lock = os::FileLock::try_acquire(path);
  return lock && !*lock;
}

/// From here on the container is gone for everybody; its files are in the trash.
Result<> ContainerStore::detach_files(const std::string& id, const std::string& name) {
  const os::FileLock lock = BH_TRY(lock_store());
  if (!name.empty()) {
    const auto owner = os::read_file(names_directory() + "/" + name, 128);
    if (owner && *owner == id) {
      BH_TRY(os::remove_file(names_directory() + "/" + name));
    }
  }
  const std::string directory = paths_.container_state(id);
  if (!os::path_exists(directory)) {
    return {};
  }
  BH_TRY(os::make_directories(trash_directory(), 0700));
  return os::rename_path(directory, trash_directory() + "/" + id);
}

void ContainerStore::remove_rest(const std::string& id) {
  if (const auto removed = os::remove_tree(trash_directory() + "/" + id); !removed) {
    log::warning("{}", removed.error().message());
  }
}

Result<> ContainerStore::remove_own(const std::string& id) {
  const auto container = load(id);
  return detach_files(id, container ? container->record.name : std::string());
}

Result<> ContainerStore::remove_run_directory(const std::string& id) const {
  return os::remove_tree(paths_.container_run(id));
}

Result<> ContainerStore::remove(const std::string& id) {
  BH_TRY(validate_name("container id", id));
  const auto lock = try_lock(id);
  if (!lock) {
    return lock.error().code() == ErrorCode::NotFound ? Result<>() : lock.error();
  }
  if (!*lock) {
    return fail(ErrorCode::FailedPrecondition, "container {} is running", id.substr(0, 12));
  }
  BH_TRY(remove_own(id));
  remove_rest(id);
  return remove_run_directory(id);
}

bool ContainerStore::has_no_record(const std::string& id) const {
  const std::string directory = paths_.container_state(id);
  const auto record = os::file_info(directory + "/container.json");
  const bool is_missing = record ? record->size == 0 : record.error().code() == ErrorCode::NotFound;
  return is_missing && os::path_exists(directory);
}

/// A directory whose record is empty or was never written, and which is not being made right now:
/// who makes one holds the store's lock, and its age by the host's clock would say nothing sure.
Result<bool> ContainerStore::is_remains(const std::string& id) const {
  if (!has_no_record(id)) {
    return false;
  }
  const os::FileLock lock = BH_TRY(lock_store());
  return has_no_record(id);
}

Result<bool> ContainerStore::reap_one(const std::string& id,
                                      const std::function<void(const std::string&)>& release) {
  const auto says_alive = [](const ContainerState& state) {
    return state.status == ContainerStatus::Running ||
           (state.status == ContainerStatus::Created && state.shim_pid != 0);
  };
  if (BH_TRY(is_remains(id))) {
    const auto lock = BH_TRY(try_lock(id));
    if (!lock) {
      return false;
    }
    log::warning("container {}: removed what a power cut left of it", id.substr(0, 12));
    BH_TRY(remove_own(id));
    remove_rest(id);
    BH_TRY(remove_run_directory(id));
    return true;
  }
  // A file that cannot be read says nothing of a living shim: look at the lock.
  // One that has had its last word and not given back was killed in between. One that was never
  // started has no shim to have been killed, and is perhaps being started now.
  if (const auto state = load_state(id);
      state && !says_alive(*state) &&
      (state->status != ContainerStatus::Stopped || !os::path_exists(paths_.container_run(id)))) {
    return false;
  }
  const auto lock = BH_TRY(try_lock(id));
  if (!lock) {
    return false;
  }
  // Once more under the lock: its shim may just have written its last word.
  auto state = load_state(id);
  if (state && !says_alive(*state)) {
    if (release) {
      release(id);
    }
    std::ignore = remove_run_directory(id);
    return false;
  }
  ContainerState dead = state ? *state : ContainerState{};
  dead.status = ContainerStatus::Stopped;
  dead.exit_code = kKilledStatus;
  dead.error = "the shim was killed";
  dead.finished_at = wall_now();
  dead.shim_pid = 0;
  dead.vm_pid = 0;
  dead.address.clear();
  if (release) {
    release(id);
  }
  const auto container = load(id);
  if (container && container->record.auto_remove) {
    BH_TRY(remove_own(id));
    remove_rest(id);
  } else if (os::path_exists(paths_.container_state(id))) {
    BH_TRY(save_state(id, dead, Durability::Durable));
  }
  BH_TRY(remove_run_directory(id));
  return true;
}

Result<std::vector<std::string>> ContainerStore::reap_dead(
    const std::function<void(const std::string&)>& release) {
  std::vector<std::string> reaped;
  std::vector<std::string> candidates = BH_TRY(ids());
  // A shim that was killed while it removed its container left no more than these.
  for (const std::string& id : BH_TRY(os::list_directory(paths_.run + "/containers"))) {
    if (std::ranges::find(candidates, id) == candidates.end() && is_id_prefix(id) &&
        id.size() == 64) {
      const auto lock = try_lock(id);
      if (lock && *lock) {
        if (release) {
          release(id);
        }
        remove_rest(id);
        std::ignore = remove_run_directory(id);
        reaped.push_back(id);
      }
    }
  }
  for (const std::string& id : candidates) {
    const auto done = reap_one(id, release);
    if (!done) {
      log::warning("container {}: {}", id.substr(0, 12), done.error().message());
    } else if (*done) {
      reaped.push_back(id);
    }
  }
  return reaped;
}

}  // namespace bulkhead::runtime
