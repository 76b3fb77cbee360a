#pragma once

#include <cstddef>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// A socket of a netlink family (NETLINK_ROUTE, …) in this network namespace, with extended error
/// messages, the request not echoed in them; a read gives up after ten seconds. `groups`: a mask of
/// those to whose messages it listens.
Result<UniqueFd> open_netlink(int family, unsigned groups = 0);

/// Sends to the kernel.
Result<> send_to_kernel(int socket, Bytes datagram);

/// The size of the next datagram from the kernel; what other processes send is passed over.
/// Errors: Timeout, ResourceExhausted (the kernel dropped answers), Corrupt when the datagram does
/// not fit.
Result<std::size_t> receive_from_kernel(int socket, MutableBytes buffer);

}  // namespace bulkhead::os
