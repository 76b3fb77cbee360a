#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/vmm/machine.h"

// What mounts of a specification take from the host. The guest knows each by its number among those
// of its kind, in the specification's order.

namespace bulkhead::runtime {

/// A directory or file of the host: type "bind", or option "bind" or "rbind".
bool is_share(const oci::Mount& mount);

/// A disk image: type "ext4". Its source is a file of the host.
bool is_disk(const oci::Mount& mount);

/// Relative sources are in `bundle`.
/// Errors: NotFound; Unsupported for what is neither a directory nor a regular file.
Result<std::vector<vmm::Share>> plan_shares(const oci::Spec& spec, const std::string& bundle);

/// Each is locked (flock) for as long as any copy of its descriptor is open: against all others, or
/// against writers when it is read-only.
/// Errors: NotFound; Invalid for what is no ext4 image; FailedPrecondition for one in use.
Result<std::vector<vmm::DataDisk>> open_disks(const oci::Spec& spec, const std::string& bundle);

}  // namespace bulkhead::runtime
