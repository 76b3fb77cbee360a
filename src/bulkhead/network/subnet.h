#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::network {

/// The network of which `gateway` is the first address.
netlink::IpPrefix subnet_of(const netlink::IpPrefix& gateway);

/// The address, with the prefix length, of the candidate network whose first address it is; nothing
/// for other addresses.
std::optional<netlink::IpPrefix> gateway_with(std::uint32_t address);

struct SubnetChoice {
  netlink::IpPrefix subnet;
  /// A wider route of the host leads to the same addresses: what lies there is out of reach now.
  bool hides_a_route = false;
};

/// A private network for a bridge: from 10.79.0.0/16 to 10.119.0.0/16, then 172.16.0.0/16 and
/// upwards, then 192.168.0.0/20 and upwards. Networks of the host's own addresses are never taken.
/// Routes are avoided too; those shorter than /8 are passed over, because a default route that is
/// said in halves (0.0.0.0/1 and 128.0.0.0/1, as VPNs do) leads everywhere. When no candidate is
/// left, wider routes than the candidate are hidden. Nothing when there is none even so.
std::optional<SubnetChoice> choose_subnet(const std::vector<netlink::IpPrefix>& addresses,
                                          const std::vector<netlink::IpPrefix>& routes);

/// choose_subnet() for this host, with a warning when it hides a route. Errors: ResourceExhausted.
Result<netlink::IpPrefix> free_subnet(netlink::Socket& route);

}  // namespace bulkhead::network
