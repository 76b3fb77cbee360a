#pragma once

#include <string>

#include "bulkhead/os/own_process.h"
#include "bulkhead/runtime/container.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::shim {

/// The state file of a container that belongs to Bulkhead's own store: its shim alone writes it.
class ManagedState {
 public:
  /// `is_transient`: the container is removed when it ends.
  ManagedState(runtime::ContainerStore store, std::string id, bool is_transient);

  void created(const runtime::Container& container);

  /// No machine could be made for it.
  void create_failed(const std::string& cause);
  void running(const runtime::Container& container);

  /// Before anybody is told. A transient container is gone from the store from here on.
  void stopped(const runtime::Container& container, const runtime::ExitRecord& exit);

  /// Everything is given back: what is left of the files goes.
  void finish();

 private:
  void save(runtime::ContainerStore::Durability durability);

  runtime::ContainerStore store_;
  std::string id_;
  bool is_transient_;
  bool removed_ = false;
  runtime::ContainerState state_;
};

}  // namespace bulkhead::shim
