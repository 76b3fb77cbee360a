#pragma once

#include <string>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// "/dev/vda", by the serial number that the host gave the disk.
/// Errors: NotFound, Invalid for an empty serial.
Result<std::string> find_disk(const std::string& serial);

/// Stacks the scratch disk on the base at kContainerRoot.
Result<> mount_root(const std::string& base_serial, const std::string& scratch_serial);

/// The reverse, for disks that are to be exchanged: waits until nothing in this machine uses them.
/// Errors: Timeout.
Result<> unmount_root(const std::string& base_serial, const std::string& scratch_serial);

/// Mounts the data disks that the plan's mounts name, in kDataDirectory.
/// Errors: Invalid for a number that is not the next one's; Timeout for a disk that is not there;
/// FailedPrecondition for one that would have to be written first and must not be.
Result<> mount_data_disks(const agent::v1::StartRequest& plan);

/// A detached copy of the mount of each of them.
Result<std::vector<os::UniqueFd>> clone_data_disks(const agent::v1::StartRequest& plan);

/// Whether it is a data disk.
bool is_data_disk(const agent::v1::Mount& mount);

/// The reverse of mounting, with everything written to the disks. What is still in use is detached
/// and written.
void unmount_disks();

}  // namespace bulkhead::guest
