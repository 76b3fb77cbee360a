#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/process.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::runtime {

/// Descriptors that a shim started by launch_shim() finds.
inline constexpr int kShimListener = 3;
inline constexpr int kShimLock = 4;

/// The name of the shim's program, in the directory of the running one.
inline constexpr const char* kShimProgram = "containerd-shim-bulkhead-v2";

enum class ShimTask : std::uint8_t {
  Serve,    ///< a stored container
  StandBy,  ///< one that is not known yet: StandbyPool
};

/// Starts a container's shim, in a session of its own, listening already on store.socket_path():
/// connect at once, without polling. `lock` (ContainerStore::try_lock) becomes the shim's. The shim
/// waits for Create; it ends by itself when nobody is connected and nothing was started, or when
/// nobody wants it to stand by.
Result<os::Process> launch_shim(const ContainerStore& store, const std::string& id,
                                os::FileLock lock, ShimTask task = ShimTask::Serve);

}  // namespace bulkhead::runtime
