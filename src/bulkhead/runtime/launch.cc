#include "bulkhead/runtime/launch.h"

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::runtime {

Result<os::Process> launch_shim(const ContainerStore& store, const std::string& id,
                                os::FileLock lock, ShimTask task) {
  const os::UniqueFd listener = BH_TRY(os::listen_unix(store.socket_path(id)));
  const std::string program = BH_TRY(os::program_directory()) + "/" + kShimProgram;
  const bool has_bundle = task == ShimTask::Serve;
  return os::spawn(
             {.arguments = {program, "-namespace", "bulkhead", "-id", id, "-bundle",
                            store.bundle(id), has_bundle ? "serve" : "stand-by"},
              .descriptors = {{.source = listener.get(), .target = kShimListener},
                              {.source = lock.fd(), .target = kShimLock}},
              .working_directory = has_bundle ? store.bundle(id) : store.paths().container_run(id),
              .new_session = true})
      .context("start the container's shim");
}

}  // namespace bulkhead::runtime
