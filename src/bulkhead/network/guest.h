#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/netlink/address.h"

namespace bulkhead::network {

/// What one TAP may send. All of it is made of the address, so that the names of the kernel's links
/// say which addresses are in use, whoever leased them.
struct Guest {
  std::string interface;  ///< "bh0a4f0002"
  netlink::MacAddress mac;
  netlink::IpPrefix address;
};

/// `address` in host order.
Guest guest_of(std::uint32_t address);

/// The address of the guest whose TAP has that name; nothing for other names.
std::optional<std::uint32_t> address_of_interface(std::string_view interface);

/// Locally administered: neighbours' caches stay right when an address is used again.
netlink::MacAddress mac_of(std::uint32_t address);

/// The address that a MAC address is made of; nothing for one that is not made so.
std::optional<std::uint32_t> address_of_mac(const netlink::MacAddress& mac);

}  // namespace bulkhead::network
