#include "bulkhead/guest/root_mount.h"

#include <thread>
#include <tuple>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/disks.h"

namespace bulkhead::guest {

void RootMount::begin(const agent::v1::RootFileSystem& root) {
  if (std::exchange(was_begun_, true)) {
    if (root.SerializeAsString() != root_.SerializeAsString()) {
      std::ignore = finish();
      result_ = fail(ErrorCode::Invalid, "the plan's disks are not those that are mounted");
    }
    return;
  }
  root_ = root;
  const auto mount = [this] { result_ = mount_root(root_.base_serial(), root_.scratch_serial()); };
  if (std::thread::hardware_concurrency() > 1) {
    thread_ = std::jthread(mount);
  } else {
    mount();
  }
}

Result<> RootMount::finish() {
  if (thread_.joinable()) {
    thread_.join();
  }
  return result_;
}

Result<> RootMount::undo() {
  BH_TRY(finish());
  was_begun_ = false;
  return unmount_root(root_.base_serial(), root_.scratch_serial());
}

}  // namespace bulkhead::guest
