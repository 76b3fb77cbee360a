#pragma once

#include <cstddef>
#include <optional>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::os {

bool is_socket(int fd);

/// Writes to a socket without blocking and without SIGPIPE; nothing when it would block.
/// Errors: Unavailable when the peer has gone.
Result<std::optional<std::size_t>> try_send(int socket, Bytes data);

}  // namespace bulkhead::os
