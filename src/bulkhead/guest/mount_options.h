#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::guest {

/// An OCI mount's options, taken apart as mount(8) and runc do.
struct MountOptions {
  unsigned long flags = 0;        ///< MS_*, without propagation
  unsigned long propagation = 0;  ///< MS_PRIVATE and the like, perhaps with MS_REC; 0: leave
  std::string data;               ///< what is the file system's own, comma-separated
};

/// Later options override earlier ones. What is not known is the file system's. Errors: Invalid for
/// a NUL character or a comma inside an option, and for data longer than the kernel takes.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options);

}  // namespace bulkhead::guest
