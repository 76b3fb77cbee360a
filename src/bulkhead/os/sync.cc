#include "bulkhead/os/sync.h"

#include <unistd.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"

namespace bulkhead::os {

Result<> sync_file(int fd) {
  if (retry_eintr([&] { return ::fsync(fd); }) != 0) {
    return Error::from_errno("fsync");
  }
  return {};
}

}  // namespace bulkhead::os
