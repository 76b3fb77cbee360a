#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/os/file.h"

namespace bulkhead::network {

/// The two conversations with the kernel, in one network namespace.
struct Kernel {
  netlink::Socket route;
  netlink::Socket netfilter;

  static Result<Kernel> open();
};

struct Bridge {
  std::string name;
  netlink::IpPrefix gateway;  ///< its address, with the network's prefix length
  std::uint32_t mtu = 0;
};

/// One process at a time builds in this network namespace, whatever its run directory: the lock is
/// on the namespace itself.
Result<os::FileLock> lock_network_namespace();

/// The bridge's index when everything that build_bridge() arranges is there; nothing when something
/// is missing or was taken away. Cheap: asked for each container.
Result<std::optional<std::uint32_t>> find_whole_bridge(Kernel& kernel, const Bridge& bridge);

/// Of a bridge that is there, which address makes it ours: `gateway` if it has that, else the one
/// of which its MAC address is made (another run directory's choice, or one that was taken away).
/// Errors: FailedPrecondition when the link is somebody else's.
Result<netlink::IpPrefix> gateway_of(Kernel& kernel, const netlink::Link& link,
                                     const std::optional<netlink::IpPrefix>& gateway);

/// Makes the bridge or what is missing of it: address, forwarding, firewall; guests' TAPs that lost
/// their bridge get it again. Under lock_network_namespace(). Returns its index.
Result<std::uint32_t> build_bridge(Kernel& kernel, const Bridge& bridge);

/// The names of the TAPs that are there, whichever run directory they belong to.
Result<std::vector<std::string>> interfaces_present(Kernel& kernel);

/// Removes everything that build_bridge() made; what is absent is fine. Forwarding is switched off
/// where it was off before, unless somebody else's rules show that they forward too. For a bridge
/// that is ours and has no guests, under lock_network_namespace().
Result<> remove_bridge(Kernel& kernel, const std::string& bridge);

}  // namespace bulkhead::network
