#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// Two connected stream sockets.
Result<std::pair<UniqueFd, UniqueFd>> make_socket_pair();

/// A listening unix socket, mode 0600, replacing a stale one of that name. The path may be of any
/// length, its last component has at most 80 bytes.
Result<UniqueFd> listen_unix(const std::string& path);

/// Errors: NotFound, Unavailable when nobody listens.
Result<UniqueFd> connect_unix(const std::string& path);

/// A waiting connection; nothing when there is none (the listener is non-blocking).
Result<std::optional<UniqueFd>> accept_connection(int listener);

/// The process at the other end of a unix socket.
struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

Result<PeerCredentials> peer_credentials(int socket);

/// Sends bytes with descriptors attached (at most 32).
Result<> send_with_fds(int socket, Bytes data, const std::vector<int>& fds);

struct Received {
  std::size_t size;
  std::vector<UniqueFd> fds;
};

/// One recvmsg; size 0 is end of file.
Result<Received> receive_with_fds(int socket, MutableBytes buffer);

}  // namespace bulkhead::os
