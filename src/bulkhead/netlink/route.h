#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {

/// Gives an interface an address. An IPv6 address is not probed for duplicates: whoever assigns it
/// knows that it is free. Errors: AlreadyExists.
Result<> add_address(Socket& socket, std::uint32_t link_index, const IpPrefix& address);
Result<> delete_address(Socket& socket, std::uint32_t link_index, const IpPrefix& address);

struct InterfaceAddress {
  std::uint32_t link_index = 0;
  IpPrefix address;
};

/// Of every interface. `family`: AF_INET or AF_INET6; both without.
Result<std::vector<InterfaceAddress>> list_addresses(Socket& socket, std::uint8_t family = 0);

struct Route {
  std::optional<IpPrefix> destination;  ///< none: the default route
  std::optional<IpPrefix> gateway;
  std::uint32_t link_index = 0;  ///< 0: the kernel finds it by the gateway
  std::uint32_t table = 0;       ///< as listed; routes are added to the main table
};

/// Errors: Unavailable when the gateway cannot be reached, AlreadyExists.
Result<> add_route(Socket& socket, const Route& route);

/// IPv4 and IPv6, every table.
Result<std::vector<Route>> list_routes(Socket& socket);

}  // namespace bulkhead::netlink
