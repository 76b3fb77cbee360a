#include "bulkhead/os/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

constexpr std::size_t kMostFds = 32;

/// A path as the socket calls take it. They have room for 107 bytes: a longer path is reached
/// through its directory, open as long as the address is in use.
class UnixAddress {
 public:
  static Result<UnixAddress> create(const std::string& path) {
    UnixAddress address;
    std::string name = path;
    const std::size_t slash = path.rfind('/');
    if (path.size() > kLongest && slash != std::string::npos) {
      address.directory_ = BH_TRY(open_file(path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
      name = fmt::format("/proc/self/fd/{}{}", address.directory_.get(), path.substr(slash));
    }
    if (name.size() > kLongest) {
      return fail(ErrorCode::Invalid, "socket {}: its name is too long", path);
    }
    address.address_.sun_family = AF_UNIX;
    std::ranges::copy(name, std::begin(address.address_.sun_path));
    return address;
  }

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }

  static constexpr socklen_t size() { return sizeof(sockaddr_un); }

 private:
  static constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;

  UniqueFd directory_;
  sockaddr_un address_{};
};

Result<UniqueFd> unix_socket(int flags) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd.is_open()) {
    return Error::from_errno("socket");
  }
  return fd;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> make_socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return Error::from_errno("socketpair");
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<UniqueFd> listen_unix(const std::string& path) {
  const UnixAddress address = BH_TRY(UnixAddress::create(path));
  UniqueFd fd = BH_TRY(unix_socket(SOCK_NONBLOCK));
  ::unlink(path.c_str());
  // The mode of the socket's inode is taken from the descriptor's when it is bound.
  if (::fchmod(fd.get(), 0600) != 0) {
    return Error::from_errno("chmod socket");
  }
  if (::bind(fd.get(), address.get(), UnixAddress::size()) != 0) {
    return Error::from_errno("bind " + path);
  }
  if (::listen(fd.get(), SOMAXCONN) != 0) {
    return Error::from_errno("listen " + path);
  }
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  const UnixAddress address = BH_TRY(UnixAddress::create(path));
  UniqueFd fd = BH_TRY(unix_socket(0));
  if (retry_eintr([&] { return ::connect(fd.get(), address.get(), UnixAddress::size()); }) != 0) {
    return Error::from_errno("connect " + path);
  }
  return fd;
}

Result<std::optional<UniqueFd>> accept_connection(int listener) {
  const int fd = retry_eintr(
      [&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); });
  if (fd >= 0) {
    return UniqueFd(fd);
  }
  if (errno == EAGAIN || errno == ECONNABORTED) {
    return std::nullopt;
  }
  return Error::from_errno("accept");
}

Result<PeerCredentials> peer_credentials(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Error::from_errno("peer credentials");
  }
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

Result<> send_with_fds(int socket, Bytes data, const std::vector<int>& fds) {
  BH_CHECK(fds.size() <= kMostFds && !data.empty());
  // sendmsg does not write to its data.
  iovec vector{
      const_cast<std::byte*>(data.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
      data.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMostFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  const ssize_t sent = retry_eintr([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
  if (sent < 0) {
    return Error::from_errno("sendmsg");
  }
  if (static_cast<std::size_t>(sent) != data.size()) {
    return fail(ErrorCode::Io, "sendmsg: {} of {} bytes", sent, data.size());
  }
  return {};
}

Result<Received> receive_with_fds(int socket, MutableBytes buffer) {
  iovec vector{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMostFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = retry_eintr([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) {
    return Error::from_errno("recvmsg");
  }
  Received received{.size = static_cast<std::size_t>(n), .fds = {}};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

}  // namespace bulkhead::os
