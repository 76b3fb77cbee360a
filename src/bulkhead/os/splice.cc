#include "bulkhead/os/splice.h"

#include <fcntl.h>
#include <sys/types.h>

#include <cstddef>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"

namespace bulkhead::os {

Result<std::size_t> splice_some(int from, int to, std::size_t count) {
  const ssize_t n =
      retry_eintr([&] { return ::splice(from, nullptr, to, nullptr, count, SPLICE_F_MOVE); });
  if (n < 0) {
    return Error::from_errno("splice");
  }
  return static_cast<std::size_t>(n);
}

}  // namespace bulkhead::os
