#pragma once

#include <string>

#include "bulkhead/base/result.h"

namespace bulkhead::guest {

/// "/dev/vda", by the serial number that the host gave the disk.
/// Errors: NotFound, Invalid for an empty serial.
Result<std::string> find_disk(const std::string& serial);

/// Stacks the scratch disk on the base at kContainerRoot.
Result<> mount_root(const std::string& base_serial, const std::string& scratch_serial);

/// The reverse, with everything written to the disk. What is still in use is detached and written.
void unmount_root();

}  // namespace bulkhead::guest
