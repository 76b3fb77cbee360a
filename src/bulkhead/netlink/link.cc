#include "bulkhead/netlink/link.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/os/file.h"

namespace bulkhead::netlink {
namespace {

/// `counters` is the beginning of a rtnl_link_stats64, as long as the kernel's is.
void read_traffic(Bytes counters, Link& link) {
  rtnl_link_stats64 known{};
  const Bytes common = counters.first(std::min(counters.size(), sizeof known));
  std::memcpy(&known, common.data(), common.size());
  link.received = {.bytes = known.rx_bytes,
                   .packets = known.rx_packets,
                   .errors = known.rx_errors,
                   .dropped = known.rx_dropped};
  link.sent = {.bytes = known.tx_bytes,
               .packets = known.tx_packets,
               .errors = known.tx_errors,
               .dropped = known.tx_dropped};
}

Result<Link> parse_link(const Message& message) {
  const auto info = BH_TRY(message.body<ifinfomsg>());
  const auto attributes = BH_TRY(message.attributes(sizeof info));
  Link link;
  link.index = static_cast<std::uint32_t>(info.ifi_index);
  link.is_up = (info.ifi_flags & IFF_UP) != 0;
  if (const Attribute* name = find(attributes, IFLA_IFNAME)) {
    link.name = name->text();
  }
  if (const Attribute* alias = find(attributes, IFLA_IFALIAS)) {
    link.alias = alias->text();
  }
  if (const Attribute* mac = find(attributes, IFLA_ADDRESS)) {
    link.mac = mac->as<MacAddress>().value_or(MacAddress{});
  }
  if (const Attribute* mtu = find(attributes, IFLA_MTU)) {
    link.mtu = mtu->as<std::uint32_t>().value_or(0);
  }
  if (const Attribute* controller = find(attributes, IFLA_MASTER)) {
    link.controller = controller->as<std::uint32_t>().value_or(0);
  }
  if (const Attribute* counters = find(attributes, IFLA_STATS64)) {
    read_traffic(counters->value, link);
  }
  if (const Attribute* nested = find(attributes, IFLA_LINKINFO)) {
    const auto link_info = BH_TRY(parse_attributes(nested->value));
    if (const Attribute* kind = find(link_info, IFLA_INFO_KIND)) {
      link.kind = kind->text();
    }
  }
  return link;
}

Result<> check_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return fail(ErrorCode::Invalid, "link {}: a name has 1 to {} bytes", quote(name), IFNAMSIZ - 1);
  }
  return {};
}

Result<> create(Socket& socket, std::string_view name, std::string_view kind,
                const std::function<void(MessageBuilder&)>& fill_link,
                const std::function<void(MessageBuilder&)>& fill_data) {
  BH_TRY(check_name(name));
  MessageBuilder message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.body(ifinfomsg{}).text(IFLA_IFNAME, name);
  fill_link(message);
  message.nested(IFLA_LINKINFO, [&](MessageBuilder& info) {
    info.text(IFLA_INFO_KIND, kind);
    if (fill_data) {
      info.nested(IFLA_INFO_DATA, fill_data);
    }
  });
  return socket.request(std::move(message), "create link " + std::string(name));
}

}  // namespace

Result<std::vector<Link>> list_links(Socket& socket) {
  MessageBuilder message(RTM_GETLINK, NLM_F_DUMP);
  message.body(ifinfomsg{});
  std::vector<Link> links;
  for (const Message& answer : BH_TRY(socket.dump(std::move(message), "list links"))) {
    links.push_back(BH_TRY(parse_link(answer)));
  }
  return links;
}

Result<std::optional<Link>> find_link(Socket& socket, std::string_view name) {
  BH_TRY(check_name(name));
  MessageBuilder message(RTM_GETLINK, 0);
  message.body(ifinfomsg{}).text(IFLA_IFNAME, name);
  auto answer = socket.query(std::move(message), "find link " + std::string(name));
  if (!answer) {
    if (answer.error().code() == ErrorCode::NotFound) {
      return std::nullopt;
    }
    return std::move(answer).error();
  }
  return BH_TRY(parse_link(*answer));
}

Result<std::optional<Link>> find_link(Socket& socket, const MacAddress& mac) {
  for (Link& link : BH_TRY(list_links(socket))) {
    if (link.mac == mac) {
      return std::move(link);
    }
  }
  return std::nullopt;
}

Result<> change_link(Socket& socket, std::uint32_t index, const LinkChange& change) {
  MessageBuilder message(RTM_NEWLINK, 0);
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(index);
  if (change.up) {
    info.ifi_change = IFF_UP;
    info.ifi_flags = *change.up ? static_cast<unsigned>(IFF_UP) : 0U;
  }
  message.body(info);
  if (change.mtu) {
    message.attribute(IFLA_MTU, *change.mtu);
  }
  if (change.mac) {
    message.attribute(IFLA_ADDRESS, object_bytes(*change.mac));
  }
  if (change.name) {
    BH_TRY(check_name(*change.name));
    message.text(IFLA_IFNAME, *change.name);
  }
  if (change.alias) {
    message.text(IFLA_IFALIAS, *change.alias);
  }
  if (change.controller) {
    message.attribute(IFLA_MASTER, *change.controller);
  }
  if (change.namespace_fd) {
    message.attribute(IFLA_NET_NS_FD, static_cast<std::uint32_t>(*change.namespace_fd));
  }
  return socket.request(std::move(message), fmt::format("change link {}", index));
}

Result<> create_bridge(Socket& socket, std::string_view name, const MacAddress& mac) {
  return create(
      socket, name, "bridge",
      [&](MessageBuilder& message) { message.attribute(IFLA_ADDRESS, object_bytes(mac)); },
      // No spanning tree, and no delay before a new port forwards.
      [](MessageBuilder& data) {
        data.attribute(IFLA_BR_STP_STATE, std::uint32_t{0});
        data.attribute(IFLA_BR_FORWARD_DELAY, std::uint32_t{0});
      });
}

Result<> create_dummy(Socket& socket, std::string_view name) {
  return create(socket, name, "dummy", [](MessageBuilder&) {}, nullptr);
}

Result<> create_veth(Socket& socket, std::string_view name, std::string_view peer) {
  BH_TRY(check_name(peer));
  return create(
      socket, name, "veth", [](MessageBuilder&) {},
      [&](MessageBuilder& data) {
        data.nested(VETH_INFO_PEER, [&](MessageBuilder& other) {
          other.body(ifinfomsg{}).text(IFLA_IFNAME, peer);
        });
      });
}

Result<> disable_ipv6(const std::string& interface) {
  return os::write_setting("/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6", "1");
}

Result<> delete_link(Socket& socket, std::uint32_t index) {
  MessageBuilder message(RTM_DELLINK, 0);
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(index);
  message.body(info);
  return socket.request(std::move(message), fmt::format("delete link {}", index));
}

}  // namespace bulkhead::netlink
