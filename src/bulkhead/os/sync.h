#pragma once

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Waits until content and size of the file are on the disk. Errors: NoSpace, Io.
Result<> sync_file(int fd);

}  // namespace bulkhead::os
