#include "bulkhead/network/firewall.h"

#include <linux/netfilter.h>
#include <net/if.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/set_element.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/os/process.h"

namespace bulkhead::network {
namespace {

const netlink::NftSet& guest_set() {
  static const netlink::NftSet set{.family = NFPROTO_BRIDGE, .table = "bulkhead", .name = "guests"};
  return set;
}

/// ifname . ether_addr . ipv4_addr: 16, 6 padded to 8, and 4 bytes.
std::vector<std::byte> key_of(const Guest& guest) {
  std::array<std::byte, IFNAMSIZ + 8 + 4> key{};
  std::memcpy(key.data(), guest.interface.data(),
              std::min<std::size_t>(guest.interface.size(), IFNAMSIZ - 1));
  std::memcpy(key.data() + IFNAMSIZ, guest.mac.data(), guest.mac.size());
  std::memcpy(key.data() + IFNAMSIZ + 8, guest.address.address().data(), 4);
  return {key.begin(), key.end()};
}

Result<> run_nft(const std::string& rules) {
  const auto output = os::run_command({"nft", "-f", "-"}, rules);
  if (!output) {
    if (output.error().code() == ErrorCode::NotFound) {
      return fail(ErrorCode::NotFound,
                  "nft is not installed, a bridge network needs it: apt-get install nftables");
    }
    return output.error();
  }
  if (output->status.shell_code() != 0) {
    return fail(ErrorCode::Unsupported, "nft: {}",
                quote(output->err.substr(0, output->err.find('\n'))));
  }
  return {};
}

}  // namespace

std::string firewall_rules(const std::vector<netlink::IpPrefix>& subnets,
                           const std::vector<Guest>& guests) {
  std::string subnet_list;
  for (const netlink::IpPrefix& subnet : subnets) {
    subnet_list += (subnet_list.empty() ? "" : ", ") + subnet.text();
  }
  std::string guest_list;
  for (const Guest& guest : guests) {
    guest_list += fmt::format("{}\"{}\" . {} . {}", guest_list.empty() ? "" : ", ", guest.interface,
                              netlink::format_mac(guest.mac), guest.address.address_text());
  }
  const std::string elements =
      guest_list.empty() ? "" : fmt::format("elements = {{ {} }};", guest_list);
  // The empty declarations make deleting safe when nothing is there; all of it is one transaction.
  return fmt::format(R"(table inet bulkhead {{ }}
delete table inet bulkhead
table bridge bulkhead {{ }}
delete table bridge bulkhead
table inet bulkhead {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {{ {0} }} ip daddr != {{ {0} }} masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname "bulkhead*" iifname != "bulkhead*" ct state != {{ established, related }} drop
  }}
}}
table bridge bulkhead {{
  set guests {{
    type ifname . ether_addr . ipv4_addr; {1}
  }}
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
    iifname "bh*" jump guest
  }}
  chain guest {{
    ether type ip iifname . ether saddr . ip saddr @guests accept
    ether type arp iifname . ether saddr . arp saddr ip @guests iifname . arp saddr ether . arp saddr ip @guests accept
    drop
  }}
}}
)",
                     subnet_list, elements);
}

Result<> install_firewall(const std::vector<netlink::IpPrefix>& subnets,
                          const std::vector<Guest>& guests) {
  return run_nft(firewall_rules(subnets, guests));
}

Result<> remove_firewall() {
  return run_nft(
      "table inet bulkhead { }\ndelete table inet bulkhead\n"
      "table bridge bulkhead { }\ndelete table bridge bulkhead\n");
}

Result<> admit_guest(netlink::Socket& netfilter, const Guest& guest) {
  return netlink::add_elements(netfilter, guest_set(), {key_of(guest)});
}

Result<> expel_guest(netlink::Socket& netfilter, const Guest& guest) {
  return netlink::delete_element(netfilter, guest_set(), key_of(guest));
}

}  // namespace bulkhead::network
