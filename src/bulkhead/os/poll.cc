#include "bulkhead/os/poll.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::os {

Result<bool> wait_readable(int fd, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready =
        ::poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX)));
    if (ready >= 0) {
      return ready > 0;
    }
    if (errno != EINTR) {
      return Error::from_errno("poll");
    }
  }
}

Result<bool> wait_readable_before(int fd, int other) {
  std::array<pollfd, 2> wait{pollfd{.fd = fd, .events = POLLIN, .revents = 0},
                             pollfd{.fd = other, .events = POLLIN, .revents = 0}};
  while (::poll(wait.data(), wait.size(), -1) < 0) {
    if (errno != EINTR) {
      return Error::from_errno("poll");
    }
  }
  return wait[1].revents == 0;
}

bool is_hung_up(int fd) {
  pollfd wait{.fd = fd, .events = 0, .revents = 0};
  return ::poll(&wait, 1, 0) > 0 && (wait.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace bulkhead::os
