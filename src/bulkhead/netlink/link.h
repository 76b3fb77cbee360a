#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {

/// The loopback's index in every network namespace.
inline constexpr std::uint32_t kLoopback = 1;

/// One direction of an interface's traffic.
struct LinkTraffic {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::uint64_t errors = 0;
  std::uint64_t dropped = 0;
};

/// A network interface.
struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::string kind;   ///< "bridge", "tun", "veth"; empty for hardware
  std::string alias;  ///< a remark, of whoever made it
  MacAddress mac{};
  std::uint32_t mtu = 0;
  std::uint32_t controller = 0;  ///< index of the bridge it belongs to, or 0
  bool is_up = false;
  LinkTraffic received;  ///< since it was made
  LinkTraffic sent;
};

Result<std::vector<Link>> list_links(Socket& socket);

/// Nothing when there is none of that name.
Result<std::optional<Link>> find_link(Socket& socket, std::string_view name);

/// The first link with that address. Nothing when there is none.
Result<std::optional<Link>> find_link(Socket& socket, const MacAddress& mac);

/// What is to be changed; the rest stays.
struct LinkChange {
  std::optional<bool> up;
  std::optional<std::uint32_t> mtu;
  std::optional<MacAddress> mac;
  std::optional<std::string> name;
  std::optional<std::string> alias;
  std::optional<std::uint32_t> controller;  ///< 0 takes it out of its bridge
  std::optional<int> namespace_fd;          ///< moves it to another network namespace
};

Result<> change_link(Socket& socket, std::uint32_t index, const LinkChange& change);

/// Errors: AlreadyExists.
Result<> create_bridge(Socket& socket, std::string_view name, const MacAddress& mac);
Result<> create_dummy(Socket& socket, std::string_view name);
Result<> create_veth(Socket& socket, std::string_view name, std::string_view peer);

/// No address of its own making, no talk of neighbours and routers.
/// Errors: NotFound for an interface that is not there, and in a kernel without IPv6.
Result<> disable_ipv6(const std::string& interface);

Result<> delete_link(Socket& socket, std::uint32_t index);

}  // namespace bulkhead::netlink
