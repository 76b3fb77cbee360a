#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/guest.h"

namespace bulkhead::network {

/// Adds what is missing of our two nftables tables, in one transaction: translation and forwarding
/// for `subnet` behind `bridge`, and the guard that lets `guests` send. Guests that are admitted
/// already stay so. Errors: NotFound when nft is not installed (with what to install), Unsupported
/// when the kernel refuses.
Result<> install_firewall(const std::string& bridge, const netlink::IpPrefix& subnet,
                          const std::vector<Guest>& guests);

/// Whether both tables are there with all their rules.
Result<bool> firewall_is_whole(netlink::Socket& netfilter);

/// Removes both tables. Absent ones are fine.
Result<> remove_firewall();

/// Lets a guest send; false when that triple is admitted already, by whomever. Of all processes on
/// this machine only one gets true for an address: it is the lease's proof.
/// Errors: NotFound when the tables are not there (any more).
Result<bool> admit_guest(netlink::Socket& netfilter, const Guest& guest);

/// For the one who was told true. Errors: NotFound when the tables are not there (any more).
Result<> expel_guest(netlink::Socket& netfilter, const Guest& guest);

/// Feeds rules to nft(8), as one transaction. Errors: see install_firewall.
Result<> run_nft(const std::string& rules);

/// For tests: the text that nft is fed.
std::string firewall_rules(const std::string& bridge, const netlink::IpPrefix& subnet,
                           const std::vector<Guest>& guests);

}  // namespace bulkhead::network
