#include "bulkhead/os/unique_fd.h"

#include <unistd.h>

#include <utility>

namespace bulkhead::os {

void UniqueFd::reset(int fd) {
  const int old = std::exchange(fd_, fd);
  if (old >= 0) {
    // Linux closes the descriptor even when it reports EINTR.
    ::close(old);
  }
}

}  // namespace bulkhead::os
