#include "bulkhead/os/stream_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <optional>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"

namespace bulkhead::os {

bool is_socket(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

Result<std::optional<std::size_t>> try_send(int socket, Bytes data) {
  const ssize_t n = retry_eintr(
      [&] { return ::send(socket, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (n >= 0) {
    return static_cast<std::size_t>(n);
  }
  if (errno == EAGAIN) {
    return std::nullopt;
  }
  return Error::from_errno("send");
}

}  // namespace bulkhead::os
