#include "bulkhead/netlink/route.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {
namespace {

ifaddrmsg address_body(std::uint32_t link_index, const IpPrefix& address) {
  ifaddrmsg body{};
  body.ifa_family = address.family();
  body.ifa_prefixlen = address.length();
  body.ifa_index = link_index;
  body.ifa_scope = RT_SCOPE_UNIVERSE;
  if (address.family() == AF_INET6) {
    body.ifa_flags = IFA_F_NODAD | IFA_F_PERMANENT;
  }
  return body;
}

Result<std::optional<IpPrefix>> prefix_in(const std::vector<Attribute>& attributes,
                                          std::uint16_t type, std::uint8_t length) {
  const Attribute* attribute = find(attributes, type);
  if (attribute == nullptr) {
    return std::nullopt;
  }
  return BH_TRY(IpPrefix::from_bytes(attribute->value, length));
}

std::uint8_t whole_length(std::uint8_t family) { return family == AF_INET ? 32 : 128; }

}  // namespace

Result<> add_address(Socket& socket, std::uint32_t link_index, const IpPrefix& address) {
  MessageBuilder message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.body(address_body(link_index, address)).attribute(IFA_LOCAL, address.address());
  if (address.family() == AF_INET && address.length() < 31) {
    const std::uint32_t hosts = 0xffffffffU >> address.length();
    message.attribute(IFA_BROADCAST,
                      IpPrefix::from_ipv4(address.ipv4() | hosts, address.length()).address());
  }
  message.attribute(IFA_ADDRESS, address.address());
  return socket.request(std::move(message), "add address " + address.text());
}

Result<> delete_address(Socket& socket, std::uint32_t link_index, const IpPrefix& address) {
  MessageBuilder message(RTM_DELADDR, 0);
  message.body(address_body(link_index, address)).attribute(IFA_LOCAL, address.address());
  return socket.request(std::move(message), "delete address " + address.text());
}

Result<std::vector<InterfaceAddress>> list_addresses(Socket& socket, std::uint8_t family) {
  MessageBuilder message(RTM_GETADDR, NLM_F_DUMP);
  ifaddrmsg request{};
  request.ifa_family = family;
  message.body(request);
  std::vector<InterfaceAddress> addresses;
  for (const Message& answer : BH_TRY(socket.dump(std::move(message), "list addresses"))) {
    const auto body = BH_TRY(answer.body<ifaddrmsg>());
    if (body.ifa_family != AF_INET && body.ifa_family != AF_INET6) {
      continue;
    }
    const auto attributes = BH_TRY(answer.attributes(sizeof body));
    // Of a point-to-point link IFA_ADDRESS is the other end.
    auto address = BH_TRY(prefix_in(attributes, IFA_LOCAL, body.ifa_prefixlen));
    if (!address) {
      address = BH_TRY(prefix_in(attributes, IFA_ADDRESS, body.ifa_prefixlen));
    }
    if (address) {
      addresses.push_back({.link_index = body.ifa_index, .address = *address});
    }
  }
  return addresses;
}

Result<> add_route(Socket& socket, const Route& route) {
  const std::uint8_t family = route.destination ? route.destination->family()
                              : route.gateway   ? route.gateway->family()
                                                : static_cast<std::uint8_t>(AF_INET);
  MessageBuilder message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  rtmsg body{};
  body.rtm_family = family;
  body.rtm_dst_len = route.destination ? route.destination->length() : 0;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = route.gateway || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  body.rtm_type = RTN_UNICAST;
  message.body(body);
  if (route.destination && route.destination->length() > 0) {
    message.attribute(RTA_DST, route.destination->address());
  }
  if (route.gateway) {
    message.attribute(RTA_GATEWAY, route.gateway->address());
  }
  if (route.link_index != 0) {
    message.attribute(RTA_OIF, route.link_index);
  }
  return socket.request(std::move(message),
                        "add route " + (route.destination ? route.destination->text() : "default"));
}

Result<std::vector<Route>> list_routes(Socket& socket) {
  MessageBuilder message(RTM_GETROUTE, NLM_F_DUMP);
  message.body(rtmsg{});
  std::vector<Route> routes;
  for (const Message& answer : BH_TRY(socket.dump(std::move(message), "list routes"))) {
    const auto body = BH_TRY(answer.body<rtmsg>());
    if (body.rtm_family != AF_INET && body.rtm_family != AF_INET6) {
      continue;
    }
    const auto attributes = BH_TRY(answer.attributes(sizeof body));
    Route route;
    route.destination = BH_TRY(prefix_in(attributes, RTA_DST, body.rtm_dst_len));
    route.gateway = BH_TRY(prefix_in(attributes, RTA_GATEWAY, whole_length(body.rtm_family)));
    if (const Attribute* link = find(attributes, RTA_OIF)) {
      route.link_index = link->as<std::uint32_t>().value_or(0);
    }
    route.table = body.rtm_table;
    if (const Attribute* table = find(attributes, RTA_TABLE)) {
      route.table = table->as<std::uint32_t>().value_or(route.table);
    }
    routes.push_back(route);
  }
  return routes;
}

}  // namespace bulkhead::netlink
