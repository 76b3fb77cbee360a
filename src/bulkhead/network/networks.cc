#include "bulkhead/network/networks.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/db/database.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/bridge.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/guest.h"
#include "bulkhead/network/subnet.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/netlink_socket.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/tap.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::network {
namespace {

constexpr std::array<std::string_view, 1> kSchema = {R"(
CREATE TABLE networks (
  name TEXT PRIMARY KEY,
  bridge TEXT NOT NULL UNIQUE,
  subnet TEXT NOT NULL,          -- "10.79.0.0/16"
  mtu INTEGER NOT NULL,
  last_address INTEGER NOT NULL  -- the last one tried: the next search begins behind it
) STRICT;
CREATE TABLE leases (
  network TEXT NOT NULL REFERENCES networks (name),
  address INTEGER NOT NULL,      -- IPv4, host order
  owner TEXT NOT NULL UNIQUE,
  PRIMARY KEY (network, address)
) STRICT;
)"};

constexpr std::string_view kDefaultBridge = "bulkhead0";
constexpr std::uint32_t kLargestMtu = 1500;
constexpr std::size_t kShortId = 12;

struct Network {
  std::string name;
  std::string bridge;
  netlink::IpPrefix subnet;
  std::uint32_t mtu = 0;
  std::uint32_t last_address = 0;

  [[nodiscard]] netlink::IpPrefix gateway() const {
    return netlink::IpPrefix::from_ipv4(subnet.ipv4() + 1, subnet.length());
  }

  /// Without the network's own, the gateway's and the broadcast address.
  [[nodiscard]] std::uint32_t address_count() const { return (1U << (32U - subnet.length())) - 3; }

  [[nodiscard]] Bridge plan() const { return {.name = bridge, .gateway = gateway(), .mtu = mtu}; }
};

/// An address that this process holds and nobody else on this machine.
struct Claim {
  std::uint32_t address = 0;
  os::UniqueFd tap;
};

/// The smallest MTU of a default route's link: what leaves must fit there.
Result<std::uint32_t> outward_mtu(netlink::Socket& route) {
  std::uint32_t mtu = kLargestMtu;
  std::set<std::uint32_t> outward;
  for (const netlink::Route& entry : BH_TRY(netlink::list_routes(route))) {
    if (!entry.destination && entry.table == RT_TABLE_MAIN) {
      outward.insert(entry.link_index);
    }
  }
  for (const netlink::Link& link : BH_TRY(netlink::list_links(route))) {
    if (outward.contains(link.index) && link.mtu >= 576) {
      mtu = std::min(mtu, link.mtu);
    }
  }
  return mtu;
}

}  // namespace

struct Networks::State {
  db::Database database;
  std::optional<Kernel> kernel;

  Result<> connect() {
    if (!kernel) {
      kernel = BH_TRY(Kernel::open());
    }
    return {};
  }

  Result<std::optional<Network>> find(std::string_view name) {
    auto select = BH_TRY(database.prepare(
        "SELECT name, bridge, subnet, mtu, last_address FROM networks WHERE name = ?"));
    if (!BH_TRY(select.bind(1, name).step())) {
      return std::nullopt;
    }
    return BH_TRY(read(select));
  }

  static Result<Network> read(const db::Statement& row) {
    const auto subnet = BH_TRY(netlink::IpPrefix::parse(row.text(2)));
    return Network{.name = row.text(0),
                   .bridge = row.text(1),
                   .subnet = subnet,
                   .mtu = static_cast<std::uint32_t>(row.integer(3)),
                   .last_address = static_cast<std::uint32_t>(row.integer(4))};
  }

  Result<std::vector<Network>> all() {
    auto select = BH_TRY(database.prepare(
        "SELECT name, bridge, subnet, mtu, last_address FROM networks ORDER BY name"));
    std::vector<Network> networks;
    while (BH_TRY(select.step())) {
      networks.push_back(BH_TRY(read(select)));
    }
    return networks;
  }

  /// The network and its bridge's index; both are there already but for the first container since
  /// the last boot, or when somebody took something away.
  Result<std::pair<Network, std::uint32_t>> prepare(std::string_view name) {
    if (const auto network = BH_TRY(find(name))) {
      if (const auto index = BH_TRY(find_whole_bridge(*kernel, network->plan()))) {
        return std::pair(*network, *index);
      }
    } else if (name != kDefaultNetwork) {
      return fail(ErrorCode::NotFound, "not found");
    }
    const auto lock = BH_TRY(lock_network_namespace());
    return prepare_locked(name);
  }

  /// The same, whatever is missing of it, under lock_network_namespace().
  Result<std::pair<Network, std::uint32_t>> prepare_locked(std::string_view name) {
    const auto network = BH_TRY(settle(name));
    // Another process may have made it meanwhile.
    auto index = BH_TRY(find_whole_bridge(*kernel, network.plan()));
    if (!index) {
      index = BH_TRY(build_bridge(*kernel, network.plan()));
    }
    return std::pair(network, *index);
  }

  static std::optional<netlink::IpPrefix> gateway_if(const std::optional<Network>& network) {
    return network ? std::optional(network->gateway()) : std::nullopt;
  }

  /// The network as it is to be. The bridge that is there, made for whatever run directory,
  /// decides; else what is written down, if there are leases of it; else a free subnet.
  Result<Network> settle(std::string_view name) {
    const auto known = BH_TRY(find(name));
    const std::string bridge = known ? known->bridge : std::string(kDefaultBridge);
    const auto link = BH_TRY(netlink::find_link(kernel->route, bridge));
    std::optional<netlink::IpPrefix> gateway;
    if (link) {
      gateway = BH_TRY(gateway_of(*kernel, *link, gateway_if(known)));
    }
    if (known && gateway == known->gateway()) {
      return *known;
    }
    // Without a bridge and without containers nothing ties us to what was chosen once.
    if (known && !gateway && !BH_TRY(leased(name)).empty()) {
      return *known;
    }
    Network network{.name = std::string(name), .bridge = bridge, .subnet = {}};
    if (gateway) {
      network.subnet = subnet_of(*gateway);
      network.mtu = link->mtu;
    } else {
      network.subnet = BH_TRY(free_subnet(kernel->route));
      network.mtu = BH_TRY(outward_mtu(kernel->route));
    }
    network.last_address = network.gateway().ipv4();
    BH_TRY(write(network));
    return network;
  }

  Result<> write(const Network& network) {
    auto insert = BH_TRY(database.prepare(
        "INSERT INTO networks VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "subnet = excluded.subnet, mtu = excluded.mtu, last_address = excluded.last_address"));
    return insert.bind(1, network.name)
        .bind(2, network.bridge)
        .bind(3, network.subnet.text())
        .bind(4, std::int64_t{network.mtu})
        .bind(5, std::int64_t{network.last_address})
        .run();
  }

  Result<std::vector<std::uint32_t>> leased(std::string_view network) {
    auto select =
        BH_TRY(database.prepare("SELECT address FROM leases WHERE network = ? ORDER BY address"));
    select.bind(1, network);
    std::vector<std::uint32_t> addresses;
    while (BH_TRY(select.step())) {
      addresses.push_back(static_cast<std::uint32_t>(select.integer(0)));
    }
    return addresses;
  }

  Result<std::optional<std::uint32_t>> address_of(const std::string& owner) {
    auto select = BH_TRY(database.prepare("SELECT address FROM leases WHERE owner = ?"));
    if (!BH_TRY(select.bind(1, owner).step())) {
      return std::nullopt;
    }
    return static_cast<std::uint32_t>(select.integer(0));
  }

  /// The next address behind the last one that was tried, from the beginning again at the end. No
  /// two processes of this run directory are given the same one.
  Result<std::uint32_t> next_address(const Network& network) {
    auto transaction = BH_TRY(db::Transaction::begin(database));
    const auto in_use = BH_TRY(leased(network.name));
    const auto current = BH_TRY(find(network.name));
    const std::uint32_t first = network.gateway().ipv4() + 1;
    const std::uint32_t count = network.address_count();
    const std::uint32_t start = (current ? *current : network).last_address + 1 - first;
    std::uint32_t i = 0;
    while (i < count && std::ranges::binary_search(in_use, first + (start + i) % count)) {
      ++i;
    }
    if (i == count) {
      return fail(ErrorCode::ResourceExhausted, "all {} addresses are in use", count);
    }
    const std::uint32_t address = first + (start + i) % count;
    auto update = BH_TRY(database.prepare("UPDATE networks SET last_address = ? WHERE name = ?"));
    BH_TRY(update.bind(1, std::int64_t{address}).bind(2, network.name).run());
    BH_TRY(std::move(transaction).commit());
    return address;
  }

  /// An address that is free on this machine. The database knows this run directory's leases only;
  /// the kernel's set of guests and its names of TAPs are one for all, and they decide.
  Result<Claim> claim(const Network& network) {
    for (std::uint32_t i = 0; i < network.address_count(); ++i) {
      const std::uint32_t address = BH_TRY(next_address(network));
      const Guest guest = guest_of(address);
      // Asked first because it is cheap: nftables takes a grace period, 10 ms and more, to refuse.
      if (BH_TRY(netlink::find_link(kernel->route, guest.interface)) ||
          !BH_TRY(admit_guest(kernel->netfilter, guest))) {
        continue;
      }
      auto tap = os::create_tap(guest.interface);
      if (tap) {
        return Claim{.address = address, .tap = *std::move(tap)};
      }
      std::ignore = expel_guest(kernel->netfilter, guest);
      if (tap.error().code() != ErrorCode::AlreadyExists) {
        return std::move(tap).error();
      }
    }
    return fail(ErrorCode::ResourceExhausted, "all {} addresses are in use",
                network.address_count());
  }

  Result<> record(const Network& network, std::uint32_t address, const std::string& owner) {
    auto insert = BH_TRY(database.prepare("INSERT INTO leases VALUES (?, ?, ?)"));
    return insert.bind(1, network.name).bind(2, std::int64_t{address}).bind(3, owner).run();
  }

  /// A lease of the same owner that is left from a crash is given back. One whose TAP is there is
  /// in use.
  Result<> give_back_stale(const std::string& owner) {
    const auto address = BH_TRY(address_of(owner));
    if (!address) {
      return {};
    }
    if (BH_TRY(netlink::find_link(kernel->route, guest_of(*address).interface))) {
      return fail(ErrorCode::AlreadyExists, "{} has an address already", owner);
    }
    return release(owner, *address);
  }

  Result<> plug_in(const std::string& interface, std::uint32_t mtu, std::uint32_t bridge) {
    // The host itself has nothing to say on a guest's port: no IPv6 autoconfiguration there.
    std::ignore = netlink::disable_ipv6(interface);
    const auto link = BH_TRY(netlink::find_link(kernel->route, interface));
    if (!link) {
      return fail(ErrorCode::Unavailable, "TAP {}: gone as soon as made", interface);
    }
    return netlink::change_link(kernel->route, link->index,
                                {.up = true, .mtu = mtu, .controller = bridge});
  }

  Result<> release(const std::string& owner, std::uint32_t address) {
    BH_TRY(connect());
    // The rule goes before the lease: the address's next owner must not lose the rule it just made.
    auto expelled = expel_guest(kernel->netfilter, guest_of(address));
    // Without the tables there is nothing to be taken out of.
    if (!expelled && expelled.error().code() != ErrorCode::NotFound) {
      return expelled;
    }
    auto remove = BH_TRY(database.prepare("DELETE FROM leases WHERE owner = ?"));
    return remove.bind(1, owner).run();
  }

  Result<Attachment> attach(std::string_view name, const std::string& owner) {
    BH_TRY(connect());
    auto attachment = attach_to(BH_TRY(prepare(name)), owner);
    if (attachment || is_final(attachment.error().code())) {
      return attachment;
    }
    // Another process may have removed the network when it was found whole and not used yet. It
    // needs the lock for that.
    const auto lock = BH_TRY(lock_network_namespace());
    return attach_to(BH_TRY(prepare_locked(name)), owner);
  }

  /// Whether a network that is made anew would make no difference.
  static bool is_final(ErrorCode code) {
    return code == ErrorCode::AlreadyExists || code == ErrorCode::ResourceExhausted ||
           code == ErrorCode::PermissionDenied;
  }

  Result<Attachment> attach_to(const std::pair<Network, std::uint32_t>& prepared,
                               const std::string& owner) {
    const auto& [network, bridge] = prepared;
    BH_TRY(give_back_stale(owner));
    auto claimed = BH_TRY(claim(network));
    const Guest guest = guest_of(claimed.address);
    if (auto recorded = record(network, claimed.address, owner); !recorded) {
      std::ignore = expel_guest(kernel->netfilter, guest);
      return std::move(recorded).error();
    }
    if (auto plugged = plug_in(guest.interface, network.mtu, bridge); !plugged) {
      std::ignore = release(owner, claimed.address);
      return std::move(plugged).error();
    }
    return Attachment{.network = network.name,
                      .interface = guest.interface,
                      .tap = std::move(claimed.tap),
                      .mac_address = netlink::format_mac(guest.mac),
                      .address = guest.address.address_text(),
                      .prefix_length = network.subnet.length(),
                      .gateway = network.gateway().address_text(),
                      .mtu = network.mtu};
  }

  Result<std::vector<Lease>> leases(std::string_view network) {
    auto select = BH_TRY(
        database.prepare("SELECT owner, address FROM leases WHERE network = ? ORDER BY address"));
    select.bind(1, network);
    std::vector<Lease> list;
    while (BH_TRY(select.step())) {
      const auto address = static_cast<std::uint32_t>(select.integer(1));
      list.push_back({.owner = select.text(0),
                      .address = netlink::IpPrefix::from_ipv4(address, 32).address_text()});
    }
    return list;
  }

  /// Interfaces of containers. A shim that has given its address back closes its TAP last, and the
  /// kernel takes a moment to remove it: those that go are waited for.
  Result<std::vector<std::string>> interfaces_that_stay() {
    constexpr std::chrono::seconds kPatience{2};
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    const os::UniqueFd changes = BH_TRY(os::open_netlink(NETLINK_ROUTE, RTMGRP_LINK));
    while (true) {
      std::vector<std::string> interfaces = BH_TRY(interfaces_present(*kernel));
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      if (interfaces.empty() || left.count() <= 0 ||
          !BH_TRY(os::wait_readable(changes.get(), left))) {
        return interfaces;
      }
      std::array<std::byte, 32768> change{};
      std::ignore = BH_TRY(os::receive_from_kernel(changes.get(), change));
    }
  }

  /// Errors: FailedPrecondition when a container is in it, of whatever run directory.
  Result<> check_unused(std::string_view name) {
    std::string users;
    for (const Lease& lease : BH_TRY(leases(name))) {
      users += (users.empty() ? "" : ", ") + lease.owner.substr(0, kShortId);
    }
    if (!users.empty()) {
      return fail(ErrorCode::FailedPrecondition, "in use by container {}: stop it first", users);
    }
    if (const auto interfaces = BH_TRY(interfaces_that_stay()); !interfaces.empty()) {
      return fail(ErrorCode::FailedPrecondition,
                  "in use by {}, a container of another run directory: stop it first",
                  interfaces.front());
    }
    return {};
  }

  Result<> remove(std::string_view name) {
    BH_TRY(connect());
    const auto lock = BH_TRY(lock_network_namespace());
    const auto bridge = BH_TRY(bridge_of(name));
    if (!bridge) {
      return fail(ErrorCode::NotFound, "not there");
    }
    BH_TRY(check_unused(name));
    BH_TRY(remove_bridge(*kernel, bridge->name));
    // A container that found the network whole a moment ago does not ask for the lock.
    if (!BH_TRY(interfaces_present(*kernel)).empty()) {
      std::ignore = BH_TRY(build_bridge(*kernel, *bridge));
      return fail(ErrorCode::FailedPrecondition, "a container has just begun to use it");
    }
    auto forget = BH_TRY(database.prepare("DELETE FROM networks WHERE name = ?"));
    return forget.bind(1, name).run();
  }

  /// As it is there, or was made once. Nothing for a network of which nothing is known. Errors:
  /// FailedPrecondition when the link is somebody else's.
  Result<std::optional<Bridge>> bridge_of(std::string_view name) {
    const auto known = BH_TRY(find(name));
    // Another run directory may have made the default network.
    if (!known && name != kDefaultNetwork) {
      return std::nullopt;
    }
    const std::string bridge = known ? known->bridge : std::string(kDefaultBridge);
    const auto link = BH_TRY(netlink::find_link(kernel->route, bridge));
    if (!link) {
      return known ? std::optional(known->plan()) : std::nullopt;
    }
    const auto gateway = BH_TRY(gateway_of(*kernel, *link, gateway_if(known)));
    return Bridge{.name = bridge, .gateway = gateway, .mtu = link->mtu};
  }
};

Networks::Networks(std::unique_ptr<State> state) : state_(std::move(state)) {}

Networks::Networks(Networks&&) noexcept = default;
Networks& Networks::operator=(Networks&&) noexcept = default;
Networks::~Networks() = default;

Result<Networks> Networks::open(const std::string& run_directory) {
  BH_TRY(os::make_directories(run_directory, 0700));
  // What a reboot forgets need not survive a power cut.
  db::Database database = BH_TRY(db::Database::open(run_directory + "/network.db", kSchema,
                                                    {.durability = db::Durability::Normal}));
  return Networks(std::make_unique<State>(std::move(database), std::nullopt));
}

Result<Networks> Networks::open_existing(const std::string& run_directory) {
  db::Database database =
      BH_TRY(db::Database::open_existing(run_directory + "/network.db", kSchema.size()));
  return Networks(std::make_unique<State>(std::move(database), std::nullopt));
}

Result<Attachment> Networks::attach(std::string_view name, const std::string& owner) {
  auto attachment = state_->attach(name, owner);
  if (attachment) {
    return attachment;
  }
  if (attachment.error().code() == ErrorCode::PermissionDenied) {
    return fail(ErrorCode::PermissionDenied,
                "network {}: {}; a container's network needs root: use sudo, or --network none",
                quote(name), attachment.error().message());
  }
  return std::move(attachment).context("network " + quote(name));
}

Result<> Networks::detach(const std::string& owner) {
  const auto address = BH_TRY(state_->address_of(owner));
  return address ? state_->release(owner, *address) : Result<>();
}

Result<> Networks::reap(const std::function<bool(const std::string& owner)>& is_alive) {
  std::vector<std::string> owners;
  {
    auto select = BH_TRY(state_->database.prepare("SELECT owner FROM leases"));
    while (BH_TRY(select.step())) {
      owners.push_back(select.text(0));
    }
  }
  Result<> first_failure;
  for (const std::string& owner : owners) {
    if (is_alive(owner)) {
      continue;
    }
    // One that cannot be given back must not keep the others.
    if (auto detached = detach(owner); !detached && first_failure) {
      first_failure = std::move(detached).context(owner);
    }
  }
  return first_failure;
}

Result<std::vector<Lease>> Networks::leases(std::string_view network) {
  return state_->leases(network);
}

Result<> Networks::remove(std::string_view network) {
  auto removed = state_->remove(network);
  if (!removed && removed.error().code() == ErrorCode::PermissionDenied) {
    return fail(ErrorCode::PermissionDenied, "network {}: {}; it takes root: use sudo",
                quote(network), removed.error().message());
  }
  return std::move(removed).context("network " + quote(network));
}

Result<std::vector<NetworkInfo>> Networks::list() {
  std::vector<NetworkInfo> list;
  BH_TRY(state_->connect());
  for (const Network& network : BH_TRY(state_->all())) {
    const auto leased = BH_TRY(state_->leased(network.name));
    const auto link = BH_TRY(netlink::find_link(state_->kernel->route, network.bridge));
    list.push_back({.name = network.name,
                    .bridge = network.bridge,
                    .has_bridge = link && link->kind == "bridge",
                    .subnet = network.subnet.text(),
                    .gateway = network.gateway().address_text(),
                    .mtu = network.mtu,
                    .leases = leased.size()});
  }
  return list;
}

}  // namespace bulkhead::network
