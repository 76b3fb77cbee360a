#pragma once

#include <thread>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"

namespace bulkhead::guest {

/// The container's root being mounted, beside whatever this process does meanwhile, if there is a
/// processor for it. It is the longest part of a start, and needs nothing else of the plan.
/// While it is under way no process may be cloned: it has a thread.
class RootMount {
 public:
  RootMount() = default;
  RootMount(const RootMount&) = delete;
  RootMount& operator=(const RootMount&) = delete;
  ~RootMount() = default;

  /// Once, until undo(). Called again, with the same disks, it does nothing.
  void begin(const agent::v1::RootFileSystem& root);

  /// Waits until it is done, if it was begun. Errors: those of mount_root(); Invalid when begin()
  /// was called with other disks before.
  Result<> finish();

  /// Unmounts it. Errors: as unmount_root().
  Result<> undo();

 private:
  agent::v1::RootFileSystem root_;
  bool was_begun_ = false;
  Result<> result_;
  std::jthread thread_;
};

}  // namespace bulkhead::guest
