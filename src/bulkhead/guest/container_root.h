#pragma once

#include <string>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// The container's file systems, made by its first process in the namespaces that it was born in,
// before it runs any program of the image.

namespace bulkhead::guest {

/// The small tmpfs of PID 1's for files that the runtime makes.
Result<> mount_files_directory();

/// Another one in its place.
Result<> renew_files_directory();

/// Writes them there, by their place in the plan.
Result<> write_generated_files(const agent::v1::StartRequest& plan);

/// Settings that belong to the new namespaces: host name and sysctls.
/// PID 1's /proc is still in view.
Result<> set_up_namespaces(const agent::v1::StartRequest& plan);

/// Enters the root, mounts what the plan says, or what docker mounts when it says nothing, and
/// covers masked and read-only paths. After it "/" is the container's root, and nothing of PID 1's
/// is left in view.
Result<> enter_container_root(const agent::v1::StartRequest& plan);

/// Makes the mounts of a container, with masked and read-only paths covered, beside its root, which
/// is not there yet.
Result<> stage_mounts(const agent::v1::PrepareRequest& request);

/// As enter_container_root(), but the plan's first mounts, those of `staged`, are staged. `root`
/// and `data_disks` are detached mounts.
Result<> enter_staged_root(const agent::v1::PrepareRequest& staged,
                           const agent::v1::StartRequest& plan, int root,
                           std::vector<os::UniqueFd> data_disks);

/// The terminal becomes /dev/console.
Result<> bind_console(int terminal);

/// The root becomes read-only. Last.
Result<> seal_root();

}  // namespace bulkhead::guest
