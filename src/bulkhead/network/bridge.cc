#include "bulkhead/network/bridge.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/forwarding.h"
#include "bulkhead/network/guest.h"
#include "bulkhead/network/subnet.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::network {
namespace {

constexpr const char* kIpForward = "/proc/sys/net/ipv4/ip_forward";
/// The bridge remembers it: all run directories share the bridge, and it goes with the setting.
constexpr const char* kForwardingWasOff = "bulkhead: net.ipv4.ip_forward was 0";

Result<std::vector<netlink::IpPrefix>> ipv4_addresses(netlink::Socket& route, std::uint32_t link) {
  std::vector<netlink::IpPrefix> addresses;
  for (const netlink::InterfaceAddress& entry : BH_TRY(netlink::list_addresses(route, AF_INET))) {
    if (entry.link_index == link) {
      addresses.push_back(entry.address);
    }
  }
  return addresses;
}

bool contains(const std::vector<netlink::IpPrefix>& addresses, const netlink::IpPrefix& address) {
  return std::ranges::find(addresses, address) != addresses.end();
}

/// The guests whose TAPs are there, and their TAPs' links.
struct Present {
  std::vector<Guest> guests;
  std::vector<netlink::Link> links;
};

Result<Present> guests_present(netlink::Socket& route) {
  Present present;
  for (netlink::Link& link : BH_TRY(netlink::list_links(route))) {
    if (const auto address = address_of_interface(link.name); address && link.kind == "tun") {
      present.guests.push_back(guest_of(*address));
      present.links.push_back(std::move(link));
    }
  }
  return present;
}

Result<netlink::Link> find_or_create(netlink::Socket& route, const Bridge& bridge) {
  auto link = BH_TRY(netlink::find_link(route, bridge.name));
  if (!link) {
    BH_TRY(netlink::create_bridge(route, bridge.name, mac_of(bridge.gateway.ipv4())));
    link = BH_TRY(netlink::find_link(route, bridge.name));
  }
  if (!link) {
    return fail(ErrorCode::Unavailable, "bridge {}: gone as soon as made", bridge.name);
  }
  return *std::move(link);
}

}  // namespace

Result<Kernel> Kernel::open() {
  auto route = BH_TRY(netlink::Socket::open(netlink::Protocol::Route));
  auto netfilter = BH_TRY(netlink::Socket::open(netlink::Protocol::Netfilter));
  return Kernel{.route = std::move(route), .netfilter = std::move(netfilter)};
}

Result<os::FileLock> lock_network_namespace() {
  auto fd = BH_TRY(os::open_file("/proc/thread-self/ns/net", O_RDONLY));
  return os::FileLock::acquire(std::move(fd)).context("network namespace");
}

Result<std::optional<std::uint32_t>> find_whole_bridge(Kernel& kernel, const Bridge& bridge) {
  const auto link = BH_TRY(netlink::find_link(kernel.route, bridge.name));
  if (!link || link->kind != "bridge" || !link->is_up ||
      !contains(BH_TRY(ipv4_addresses(kernel.route, link->index)), bridge.gateway) ||
      !BH_TRY(os::read_file(kIpForward)).starts_with('1') ||
      !BH_TRY(firewall_is_whole(kernel.netfilter)) ||
      !BH_TRY(forwarding_is_open(kernel.netfilter, bridge.name))) {
    return std::nullopt;
  }
  return link->index;
}

Result<netlink::IpPrefix> gateway_of(Kernel& kernel, const netlink::Link& link,
                                     const std::optional<netlink::IpPrefix>& gateway) {
  if (link.kind != "bridge") {
    return fail(ErrorCode::FailedPrecondition,
                "link {}: not a bridge, and not made by bulkhead, which needs that name: rename or "
                "remove it (ip link delete {})",
                link.name, link.name);
  }
  const auto addresses = BH_TRY(ipv4_addresses(kernel.route, link.index));
  if (gateway && contains(addresses, *gateway)) {
    return *gateway;
  }
  // The kernel makes up others' MAC addresses by chance, and ours have the address in them.
  const auto made_of = address_of_mac(link.mac);
  const auto own = std::ranges::find_if(
      addresses, [&](const netlink::IpPrefix& address) { return address.ipv4() == made_of; });
  if (own != addresses.end()) {
    return *own;
  }
  const auto lost = made_of ? gateway_with(*made_of) : std::nullopt;
  if (addresses.empty() && lost) {
    return *lost;
  }
  return fail(ErrorCode::FailedPrecondition,
              "bridge {}: {}was not made by bulkhead, which needs that name: rename or remove it "
              "(ip link delete {})",
              link.name,
              addresses.empty() ? "" : "has the address " + addresses.front().text() + " and ",
              link.name);
}

Result<std::uint32_t> build_bridge(Kernel& kernel, const Bridge& bridge) {
  const auto link = BH_TRY(find_or_create(kernel.route, bridge));
  auto added = netlink::add_address(kernel.route, link.index, bridge.gateway);
  if (!added && added.error().code() != ErrorCode::AlreadyExists) {
    return added.error();
  }
  const std::string forwarding = BH_TRY(os::read_file(kIpForward));
  if (!forwarding.starts_with('1')) {
    BH_TRY(netlink::change_link(kernel.route, link.index, {.alias = kForwardingWasOff}));
  }
  BH_TRY(os::write_setting(kIpForward, "1").context("forwarding is off and cannot be switched on"));
  // Guests have no IPv6: the bridge need not talk it to them.
  std::ignore = netlink::disable_ipv6(bridge.name);
  const auto present = BH_TRY(guests_present(kernel.route));
  BH_TRY(install_firewall(bridge.name, subnet_of(bridge.gateway), present.guests));
  if (const auto opened = open_forwarding(kernel.netfilter, bridge.name); !opened) {
    log::warning("containers may reach only the host: {}", opened.error().message());
  }
  for (const netlink::Link& tap : present.links) {
    if (tap.controller == 0) {
      std::ignore = netlink::change_link(kernel.route, tap.index, {.controller = link.index});
    }
  }
  // Last: a bridge that is up is one that is complete.
  BH_TRY(
      netlink::change_link(kernel.route, link.index,
                           {.up = true, .mtu = bridge.mtu, .mac = mac_of(bridge.gateway.ipv4())}));
  return link.index;
}

Result<std::vector<std::string>> interfaces_present(Kernel& kernel) {
  std::vector<std::string> names;
  for (Guest& guest : BH_TRY(guests_present(kernel.route)).guests) {
    names.push_back(std::move(guest.interface));
  }
  return names;
}

Result<> remove_bridge(Kernel& kernel, const std::string& bridge) {
  const auto link = BH_TRY(netlink::find_link(kernel.route, bridge));
  BH_TRY(close_forwarding(kernel.netfilter, bridge));
  BH_TRY(remove_firewall());
  if (link && link->alias == kForwardingWasOff && !BH_TRY(others_forward(kernel.netfilter))) {
    BH_TRY(os::write_setting(kIpForward, "0"));
  }
  // Last: it is what says that there is something to remove.
  return link ? netlink::delete_link(kernel.route, link->index) : Result<>();
}

}  // namespace bulkhead::network
