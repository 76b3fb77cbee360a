#include "bulkhead/network/subnet.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::network {
namespace {

constexpr std::uint8_t kShortestRouteAvoided = 8;

std::vector<netlink::IpPrefix> candidates() {
  std::vector<netlink::IpPrefix> list;
  for (std::uint32_t byte = 79; byte <= 119; ++byte) {
    list.push_back(netlink::IpPrefix::from_ipv4((10U << 24U) | (byte << 16U), 16));
  }
  for (std::uint32_t byte = 16; byte <= 31; ++byte) {
    list.push_back(netlink::IpPrefix::from_ipv4((172U << 24U) | (byte << 16U), 16));
  }
  for (std::uint32_t block = 0; block < 16; ++block) {
    list.push_back(
        netlink::IpPrefix::from_ipv4((192U << 24U) | (168U << 16U) | (block << 12U), 20));
  }
  return list;
}

bool overlaps_any(const netlink::IpPrefix& candidate, const std::vector<netlink::IpPrefix>& used,
                  std::uint8_t shortest) {
  return std::ranges::any_of(used, [&](const netlink::IpPrefix& other) {
    return other.length() >= shortest && other.overlaps(candidate);
  });
}

}  // namespace

netlink::IpPrefix subnet_of(const netlink::IpPrefix& gateway) {
  return netlink::IpPrefix::from_ipv4(gateway.ipv4() - 1, gateway.length());
}

std::optional<netlink::IpPrefix> gateway_with(std::uint32_t address) {
  for (const netlink::IpPrefix& candidate : candidates()) {
    if (candidate.ipv4() + 1 == address) {
      return netlink::IpPrefix::from_ipv4(address, candidate.length());
    }
  }
  return std::nullopt;
}

std::optional<SubnetChoice> choose_subnet(const std::vector<netlink::IpPrefix>& addresses,
                                          const std::vector<netlink::IpPrefix>& routes) {
  std::optional<SubnetChoice> last_resort;
  for (const netlink::IpPrefix& candidate : candidates()) {
    if (overlaps_any(candidate, addresses, 0) ||
        overlaps_any(candidate, routes, candidate.length())) {
      continue;
    }
    if (!overlaps_any(candidate, routes, kShortestRouteAvoided)) {
      return SubnetChoice{.subnet = candidate};
    }
    if (!last_resort) {
      last_resort = SubnetChoice{.subnet = candidate, .hides_a_route = true};
    }
  }
  return last_resort;
}

Result<netlink::IpPrefix> free_subnet(netlink::Socket& route) {
  std::vector<netlink::IpPrefix> routes;
  for (const netlink::Route& entry : BH_TRY(netlink::list_routes(route))) {
    if (entry.destination) {
      routes.push_back(*entry.destination);
    }
  }
  std::vector<netlink::IpPrefix> addresses;
  for (const netlink::InterfaceAddress& entry : BH_TRY(netlink::list_addresses(route))) {
    addresses.push_back(entry.address);
  }
  const auto choice = choose_subnet(addresses, routes);
  if (!choice) {
    return fail(ErrorCode::ResourceExhausted,
                "no free network in 10.79.0.0 to 10.119.0.0, 172.16.0.0/12 and 192.168.0.0/16: "
                "addresses and routes of this host use them all");
  }
  if (choice->hides_a_route) {
    log::warning(
        "network {}: a route of this host leads to these addresses too; what lies there is out of "
        "reach while the network exists",
        choice->subnet.text());
  }
  return choice->subnet;
}

}  // namespace bulkhead::network
