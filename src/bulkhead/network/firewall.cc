#include "bulkhead/network/firewall.h"

#include <linux/netfilter.h>
#include <net/if.h>

#include <algorithm>
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
#include "bulkhead/netlink/nftables.h"
#include "bulkhead/netlink/set_element.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/guest.h"
#include "bulkhead/os/process.h"

namespace bulkhead::network {
namespace {

constexpr const char* kTable = "bulkhead";
/// How many firewall_rules() adds to each table.
constexpr std::size_t kTranslationRules = 2;
constexpr std::size_t kGuardRules = 7;

const netlink::NftSet& guest_set() {
  static const netlink::NftSet kSet{.family = NFPROTO_BRIDGE, .table = kTable, .name = "guests"};
  return kSet;
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

}  // namespace

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

std::string firewall_rules(const std::string& bridge, const netlink::IpPrefix& subnet,
                           const std::vector<Guest>& guests) {
  std::string admitted;
  for (const Guest& guest : guests) {
    admitted +=
        fmt::format("add element bridge bulkhead guests {{ \"{}\" . {} . {} }}\n", guest.interface,
                    netlink::format_mac(guest.mac), guest.address.address_text());
  }
  // Sets are never emptied: other run directories of this machine have their guests there. Chains
  // are, and filled again.
  return fmt::format(R"(table inet bulkhead {{
  set subnets {{
    type ipv4_addr; flags interval;
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
  }}
}}
table bridge bulkhead {{
  set guests {{
    type ifname . ether_addr . ipv4_addr;
  }}
  chain guest {{
  }}
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
  }}
}}
flush chain inet bulkhead postrouting
flush chain inet bulkhead forward
flush chain bridge bulkhead guest
flush chain bridge bulkhead prerouting
add element inet bulkhead subnets {{ {1} }}
add rule inet bulkhead postrouting ip saddr @subnets ip daddr != @subnets masquerade
add rule inet bulkhead forward oifname "{0}" iifname != "{0}" ct state != {{ established, related }} drop
add rule bridge bulkhead guest ip daddr 127.0.0.0/8 drop
add rule bridge bulkhead guest ether type ip iifname . ether saddr . ip saddr @guests accept
add rule bridge bulkhead guest ether type arp iifname . ether saddr . arp saddr ip @guests iifname . arp saddr ether . arp saddr ip @guests accept
add rule bridge bulkhead guest drop
add rule bridge bulkhead prerouting iifname "bh0a*" jump guest
add rule bridge bulkhead prerouting iifname "bhac*" jump guest
add rule bridge bulkhead prerouting iifname "bhc0a8*" jump guest
{2})",
                     bridge, subnet.text(), admitted);
}

Result<> install_firewall(const std::string& bridge, const netlink::IpPrefix& subnet,
                          const std::vector<Guest>& guests) {
  return run_nft(firewall_rules(bridge, subnet, guests));
}

Result<bool> firewall_is_whole(netlink::Socket& netfilter) {
  const netlink::Chain any_of_inet{.family = NFPROTO_INET, .table = kTable};
  const netlink::Chain any_of_bridge{.family = NFPROTO_BRIDGE, .table = kTable};
  return BH_TRY(netlink::list_rules(netfilter, any_of_inet)).size() >= kTranslationRules &&
         BH_TRY(netlink::list_rules(netfilter, any_of_bridge)).size() >= kGuardRules;
}

Result<> remove_firewall() {
  return run_nft(
      "table inet bulkhead { }\ndelete table inet bulkhead\n"
      "table bridge bulkhead { }\ndelete table bridge bulkhead\n");
}

Result<bool> admit_guest(netlink::Socket& netfilter, const Guest& guest) {
  return netlink::add_element(netfilter, guest_set(), key_of(guest));
}

Result<> expel_guest(netlink::Socket& netfilter, const Guest& guest) {
  return netlink::delete_element(netfilter, guest_set(), key_of(guest));
}

}  // namespace bulkhead::network
