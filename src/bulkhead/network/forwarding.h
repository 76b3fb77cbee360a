#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/socket.h"

// Docker and ufw give the chain FORWARD of iptables' filter table the policy drop. An accept of
// ours in a table of our own does not help: a packet must be accepted by every base chain that it
// meets. So two rules go into their table, as iptables itself would write them: `-i bulkhead0 -j
// ACCEPT` and `-o bulkhead0 -j ACCEPT`. What may not come in is dropped by our own table before or
// after. iptables-legacy and other people's tables are left alone and warned about.

namespace bulkhead::network {

/// False when iptables' filter table (its nftables variant) drops what `bridge` forwards.
Result<bool> forwarding_is_open(netlink::Socket& netfilter, const std::string& bridge);

/// Adds our rules where they are missing, at the head of FORWARD, and of DOCKER-USER where that
/// exists. Warns of what else drops forwarded packets.
Result<> open_forwarding(netlink::Socket& netfilter, const std::string& bridge);

/// Whether somebody else has rules for packets that this host forwards, or translates on their way
/// out.
Result<bool> others_forward(netlink::Socket& netfilter);

/// Takes such rules out again. None is fine.
Result<> close_forwarding(netlink::Socket& netfilter, const std::string& bridge);

}  // namespace bulkhead::network
