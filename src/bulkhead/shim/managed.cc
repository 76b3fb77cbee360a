#include "bulkhead/shim/managed.h"

#include <string>
#include <utility>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/log.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/runtime/container.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/process.h"

namespace bulkhead::shim {

using Durability = runtime::ContainerStore::Durability;

ManagedState::ManagedState(runtime::ContainerStore store, std::string id, bool is_transient)
    : store_(std::move(store)), id_(std::move(id)), is_transient_(is_transient) {
  state_.shim_pid = os::own_pid();
}

void ManagedState::save(Durability durability) {
  if (const auto saved = store_.save_state(id_, state_, durability); !saved) {
    log::error("state of container {}: {}", id_, saved.error().message());
  }
}

void ManagedState::created(const runtime::Container& container) {
  state_.status = runtime::ContainerStatus::Created;
  state_.vm_pid = container.pid();
  state_.created_at = wall_now();
  state_.network = container.config().options.network;
  if (container.network()) {
    state_.address = container.network()->address;
    state_.mac = container.network()->mac_address;
  }
  // What a reboot makes of it is plain without the file.
  save(Durability::UntilReboot);
}

void ManagedState::create_failed(const std::string& cause) {
  if (is_transient_) {
    removed_ = store_.remove_own(id_).has_value();
    return;
  }
  state_.status = runtime::ContainerStatus::Stopped;
  state_.shim_pid = 0;
  state_.exit_code = 125;
  state_.error = cause;
  state_.finished_at = wall_now();
  save(Durability::Durable);
}

void ManagedState::running(const runtime::Container& container) {
  state_.vm_pid = container.pid();
  state_.warm = container.is_restored();
  state_.standby = container.has_stood_by();
  state_.status = runtime::ContainerStatus::Running;
  state_.started_at = wall_now();
  save(Durability::UntilReboot);
}

void ManagedState::stopped(const runtime::Container& container, const runtime::ExitRecord& exit) {
  if (is_transient_) {
    if (const auto removed = store_.remove_own(id_); !removed) {
      log::error("container {}: {}", id_, removed.error().message());
    } else {
      removed_ = true;
      return;
    }
  }
  state_.status = runtime::ContainerStatus::Stopped;
  state_.finished_at = exit.at;
  state_.exit_code = exit.status;
  state_.error = container.cause();
  state_.oom_killed = container.was_out_of_memory();
  state_.vm_pid = 0;
  state_.address.clear();
  save(Durability::Durable);
}

void ManagedState::finish() {
  if (removed_) {
    store_.remove_rest(id_);
  }
  if (const auto removed = store_.remove_run_directory(id_); !removed) {
    log::warning("{}", removed.error().message());
  }
}

}  // namespace bulkhead::shim
