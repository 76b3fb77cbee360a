#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::network {

/// What one TAP may send.
struct Guest {
  std::string interface;
  netlink::MacAddress mac;
  netlink::IpPrefix address;
};

/// Makes both of our nftables tables anew, in one transaction: translation and forwarding for
/// `subnets`, and the guard with `guests`. Errors: NotFound when nft is not installed (with what to
/// install), Unsupported when the kernel refuses.
Result<> install_firewall(const std::vector<netlink::IpPrefix>& subnets,
                          const std::vector<Guest>& guests);

/// Removes both tables. Absent ones are fine.
Result<> remove_firewall();

/// Errors: NotFound when the tables are not there (any more).
Result<> admit_guest(netlink::Socket& netfilter, const Guest& guest);
Result<> expel_guest(netlink::Socket& netfilter, const Guest& guest);

/// For tests: the text that nft is fed.
std::string firewall_rules(const std::vector<netlink::IpPrefix>& subnets,
                           const std::vector<Guest>& guests);

}  // namespace bulkhead::network
