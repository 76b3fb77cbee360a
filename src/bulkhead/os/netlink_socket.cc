#include "bulkhead/os/netlink_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

constexpr int kReceiveSeconds = 10;

sockaddr_nl kernel_address() {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  return address;
}

}  // namespace

Result<UniqueFd> open_netlink(int family, unsigned groups) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family));
  if (!fd.is_open()) {
    return Error::from_errno("netlink socket");
  }
  // Niceties: a kernel without them still answers.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  const timeval timeout{.tv_sec = kReceiveSeconds, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  sockaddr_nl address = kernel_address();
  address.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("netlink bind");
  }
  return fd;
}

Result<> send_to_kernel(int socket, Bytes datagram) {
  const sockaddr_nl kernel = kernel_address();
  const ssize_t sent = retry_eintr([&] {
    return ::sendto(socket, datagram.data(), datagram.size(), 0,
                    reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  });
  if (sent < 0) {
    return Error::from_errno("netlink send");
  }
  return {};
}

Result<std::size_t> receive_from_kernel(int socket, MutableBytes buffer) {
  while (true) {
    sockaddr_nl sender{};
    socklen_t size = sizeof sender;
    const ssize_t n = retry_eintr([&] {
      return ::recvfrom(socket, buffer.data(), buffer.size(), MSG_TRUNC,
                        reinterpret_cast<sockaddr*>(&sender), &size);
    });
    if (n < 0) {
      if (errno == EAGAIN) {
        return fail(ErrorCode::Timeout, "the kernel does not answer");
      }
      return Error::from_errno("netlink receive");
    }
    // Any process may send to this socket; only the kernel is listened to.
    if (sender.nl_pid != 0) {
      continue;
    }
    if (static_cast<std::size_t>(n) > buffer.size()) {
      return fail(ErrorCode::Corrupt, "netlink receive: an answer of {} bytes", n);
    }
    return static_cast<std::size_t>(n);
  }
}

}  // namespace bulkhead::os
