#include "bulkhead/guest/network.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::guest {
namespace {

struct Configured {
  std::string name;
  std::uint32_t index;
};

/// As docker has it: an interface without an address of version 6 does not speak it.
Result<> disable_version_6(const std::string& name) {
  auto disabled = netlink::disable_ipv6(name);
  // A kernel without it has nothing to disable.
  return disabled || disabled.error().code() == ErrorCode::NotFound ? Result<>()
                                                                    : std::move(disabled);
}

bool has_version_6(const agent::v1::Interface& interface) {
  return std::ranges::any_of(interface.addresses(),
                             [](const std::string& address) { return address.contains(':'); });
}

Result<> bring_up(netlink::Socket& socket, std::uint32_t index) {
  netlink::LinkChange up;
  up.up = true;
  return netlink::change_link(socket, index, up);
}

Result<Configured> configure_interface(netlink::Socket& socket,
                                       const std::vector<netlink::Link>& links,
                                       const agent::v1::Interface& interface) {
  const netlink::MacAddress mac = BH_TRY(netlink::parse_mac(interface.mac_address()));
  const netlink::MacAddress device =
      interface.device_mac_address().empty()
          ? mac
          : BH_TRY(netlink::parse_mac(interface.device_mac_address()));
  const auto link = std::ranges::find_if(
      links, [&](const auto& one) { return one.index != netlink::kLoopback && one.mac == device; });
  if (link == links.end()) {
    return fail(ErrorCode::NotFound, "no interface has the address {}",
                netlink::format_mac(device));
  }
  netlink::LinkChange change;
  if (device != mac) {
    change.mac = mac;
  }
  if (!interface.name().empty() && interface.name() != link->name) {
    change.name = interface.name();
  }
  if (interface.mtu() != 0 && interface.mtu() != link->mtu) {
    change.mtu = interface.mtu();
  }
  if (!has_version_6(interface)) {
    BH_TRY(disable_version_6(link->name));
  }
  // A link that is up cannot be renamed, so that goes first; it is down after boot.
  change.up = true;
  BH_TRY(netlink::change_link(socket, link->index, change));
  for (const std::string& address : interface.addresses()) {
    BH_TRY(netlink::add_address(socket, link->index, BH_TRY(netlink::IpPrefix::parse(address)))
               .context(address));
  }
  return Configured{.name = change.name.value_or(link->name), .index = link->index};
}

Result<> configure_route(netlink::Socket& socket, const std::vector<Configured>& interfaces,
                         const agent::v1::Route& planned) {
  netlink::Route route;
  const netlink::IpPrefix destination = BH_TRY(netlink::IpPrefix::parse(planned.destination()));
  if (destination.length() != 0) {
    route.destination = destination;
  }
  if (!planned.gateway().empty()) {
    route.gateway = BH_TRY(netlink::IpPrefix::parse(planned.gateway()));
  }
  if (!planned.interface().empty()) {
    const auto found = std::ranges::find(interfaces, planned.interface(), &Configured::name);
    if (found == interfaces.end()) {
      return fail(ErrorCode::NotFound, "interface {}: is not planned", quote(planned.interface()));
    }
    route.link_index = found->index;
  }
  return netlink::add_route(socket, route);
}

}  // namespace

Result<> prepare_network() {
  netlink::Socket socket = BH_TRY(netlink::Socket::open(netlink::Protocol::Route));
  for (const netlink::Link& link : BH_TRY(netlink::list_links(socket))) {
    if (link.index != netlink::kLoopback) {
      BH_TRY(disable_version_6(link.name));
    }
    BH_TRY(bring_up(socket, link.index).context(link.name));
  }
  return {};
}

Result<> configure_network(const agent::v1::Network& network) {
  netlink::Socket socket = BH_TRY(netlink::Socket::open(netlink::Protocol::Route));
  BH_TRY(bring_up(socket, netlink::kLoopback).context("loopback"));
  if (network.interfaces().empty()) {
    return {};
  }
  const std::vector<netlink::Link> links = BH_TRY(netlink::list_links(socket));
  std::vector<Configured> interfaces;
  for (const agent::v1::Interface& interface : network.interfaces()) {
    interfaces.push_back(BH_TRY(configure_interface(socket, links, interface)
                                    .context("interface " + quote(interface.name()))));
  }
  for (const agent::v1::Route& route : network.routes()) {
    BH_TRY(
        configure_route(socket, interfaces, route).context("route " + quote(route.destination())));
  }
  return {};
}

}  // namespace bulkhead::guest
