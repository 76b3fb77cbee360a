#include "bulkhead/runtime/standby_pool.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/replace_file.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/host_mounts.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {
namespace {

constexpr const char* kMaking = "making";
constexpr const char* kReady = "ready";
constexpr const char* kTaken = "taken";

/// Making one takes both processors for a moment: not while containers are started.
constexpr std::chrono::seconds kQuiet{1};

/// How long one that is not wanted may take to give everything back.
constexpr std::chrono::seconds kEnd{10};

}  // namespace

bool can_take_standby(const ContainerOptions& options, const oci::Spec& spec) {
  return !options.cold && options.kernel_path.empty() &&
         std::ranges::none_of(spec.mounts, [](const oci::Mount& mount) {
           return is_share(mount) || is_disk(mount);
         });
}

bool is_same_machine(const ContainerOptions& one, const ContainerOptions& other) {
  return one.vcpus == other.vcpus && one.machine_memory_bytes() == other.machine_memory_bytes() &&
         one.scratch_bytes == other.scratch_bytes && one.network == other.network;
}

StandbyPool::StandbyPool(config::Paths paths)
    : store_(ContainerStore::existing(std::move(paths))), directory_(store_.paths().standby()) {}

std::string StandbyPool::file(const char* stage, const std::string& id) const {
  return fmt::format("{}/{}/{}", directory_, stage, id);
}

std::string StandbyPool::making_file(const std::string& id) const { return file(kMaking, id); }

std::string StandbyPool::waiting_file(const std::string& id) const { return file(kReady, id); }

bool StandbyPool::is_taken(const std::string& id) const {
  return os::path_exists(file(kTaken, id));
}

std::vector<StandbyRecord> StandbyPool::read(const char* stage) const {
  std::vector<StandbyRecord> records;
  const auto ids = os::list_directory(directory_ + "/" + stage);
  if (!ids) {
    return records;
  }
  for (const std::string& id : *ids) {
    const std::string path = file(stage, id);
    const auto text = os::read_file(path);
    const auto info = os::file_info(path);
    if (!text || !info) {
      continue;  // it has just gone on
    }
    const auto value = json::parse(*text, path);
    auto options =
        value ? ContainerOptions::from_json(*value) : Result<ContainerOptions>(value.error());
    if (!options) {
      log::warning("{}", options.error().message());
      std::ignore = os::remove_file(path);
      continue;
    }
    records.push_back({.id = id,
                       .options = *std::move(options),
                       .is_ready = stage == kReady,
                       .since = WallTime(std::chrono::nanoseconds(info->modified_nanoseconds()))});
  }
  return records;
}

bool StandbyPool::is_in_use() const { return os::path_exists(directory_); }

std::optional<std::string> StandbyPool::take(const ContainerOptions& options) const {
  if (!is_in_use()) {
    return std::nullopt;
  }
  std::ignore = os::replace_file(directory_ + "/started", "", 0600);
  for (const StandbyRecord& record : read(kReady)) {
    if (is_same_machine(record.options, options) &&
        os::rename_path(file(kReady, record.id), file(kTaken, record.id))) {
      if (store_.has_shim(record.id)) {
        return record.id;
      }
      forget(record.id);
    }
  }
  return std::nullopt;
}

void StandbyPool::forget(const std::string& id) const {
  for (const char* stage : {kMaking, kReady, kTaken}) {
    if (const auto removed = os::remove_file(file(stage, id)); !removed) {
      log::warning("{}", removed.error().message());
    }
  }
}

Result<os::Process> StandbyPool::launch(const ContainerOptions& options) const {
  const std::string id = BH_TRY(make_id());
  BH_TRY(os::make_directories(store_.paths().container_run(id), 0700));
  auto lock = BH_TRY(store_.try_lock(id));
  if (!lock) {
    return fail(ErrorCode::Internal, "machine {}: a new id is locked", id);
  }
  BH_TRY(os::replace_file(file(kMaking, id), json::write(options.to_json()), 0600));
  auto shim = launch_shim(store_, id, *std::move(lock), ShimTask::StandBy);
  if (!shim) {
    forget(id);
    std::ignore = store_.remove_run_directory(id);
  }
  return shim;
}

Result<std::vector<os::Process>> StandbyPool::refill(const ContainerOptions& options,
                                                     std::size_t most) const {
  for (const char* stage : {kMaking, kReady, kTaken}) {
    BH_TRY(os::make_directories(directory_ + "/" + stage, 0700));
  }
  const os::FileLock lock = BH_TRY(os::FileLock::acquire(directory_ + "/lock"));
  ContainerOptions machine;
  machine.vcpus = options.vcpus;
  machine.memory_bytes = options.machine_memory_bytes();
  machine.scratch_bytes = options.scratch_bytes;
  machine.network = options.network;
  std::vector<StandbyRecord> standing = BH_TRY(list());
  const auto alike = std::ranges::stable_partition(standing, [&](const StandbyRecord& record) {
    return !is_same_machine(record.options, machine);
  });
  std::vector<os::Process> started;
  while (alike.size() + started.size() < most) {
    started.push_back(BH_TRY(launch(machine)));
  }
  // Others, then what waits for longest.
  for (std::size_t i = 0; i < standing.size() && standing.size() - i + started.size() > most; ++i) {
    forget(standing[i].id);
  }
  return started;
}

Result<std::vector<StandbyRecord>> StandbyPool::list() const {
  std::vector<StandbyRecord> records = read(kMaking);
  for (StandbyRecord& ready : read(kReady)) {
    records.push_back(std::move(ready));
  }
  std::erase_if(records, [this](const StandbyRecord& record) {
    const bool is_dead = !store_.has_shim(record.id);
    if (is_dead) {
      forget(record.id);
    }
    return is_dead;
  });
  std::ranges::stable_sort(records, {}, &StandbyRecord::since);
  return records;
}

Result<> StandbyPool::remove(const std::string& id_prefix) const {
  std::vector<StandbyRecord> found = BH_TRY(list());
  std::erase_if(found, [&](const StandbyRecord& one) { return !one.id.starts_with(id_prefix); });
  if (id_prefix.empty() || found.empty()) {
    return fail(ErrorCode::NotFound, "machine {}: none of that id stands by", quote(id_prefix));
  }
  if (found.size() > 1) {
    return fail(ErrorCode::Invalid, "machine {}: {} ids begin like that", quote(id_prefix),
                found.size());
  }
  const std::string& id = found.front().id;
  forget(id);
  return store_.wait_for_end(id, kEnd);
}

std::string StandbyPool::last_failure() const {
  return os::read_file(directory_ + "/failure").value_or("");
}

void StandbyPool::fail_to_stand_by(const std::string& id, const Error& error) const {
  forget(id);
  std::ignore = os::replace_file(directory_ + "/failure", error.message(), 0600);
}

Result<ContainerOptions> StandbyPool::options_of(const std::string& id) const {
  const std::string path = file(kMaking, id);
  return ContainerOptions::from_json(BH_TRY(json::parse(BH_TRY(os::read_file(path)), path)));
}

std::chrono::nanoseconds StandbyPool::until_quiet() const {
  const auto last = os::file_info(directory_ + "/started");
  if (!last) {
    return {};
  }
  const WallTime started{std::chrono::nanoseconds(last->modified_nanoseconds())};
  // A clock that was set back must not put it off for long.
  return std::clamp<std::chrono::nanoseconds>(started + kQuiet - wall_now(), {}, kQuiet);
}

Result<> StandbyPool::announce(const std::string& id) const {
  BH_TRY(os::rename_path(file(kMaking, id), file(kReady, id)));
  return os::remove_file(directory_ + "/failure");
}

}  // namespace bulkhead::runtime
