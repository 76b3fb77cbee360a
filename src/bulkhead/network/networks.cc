#include "bulkhead/network/networks.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/db/database.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/tap.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"

namespace bulkhead::network {
namespace {

constexpr std::array<std::string_view, 1> kSchema = {R"(
CREATE TABLE networks (
  name TEXT PRIMARY KEY,
  bridge TEXT NOT NULL UNIQUE,
  subnet TEXT NOT NULL,          -- "10.79.0.0/16"
  mtu INTEGER NOT NULL,
  last_address INTEGER NOT NULL  -- the last one leased: the next search begins behind it
) STRICT;
CREATE TABLE leases (
  network TEXT NOT NULL REFERENCES networks (name),
  address INTEGER NOT NULL,      -- IPv4, host order
  owner TEXT NOT NULL UNIQUE,
  PRIMARY KEY (network, address)
) STRICT;
)"};

constexpr std::string_view kDefaultBridge = "bulkhead0";
constexpr std::uint8_t kPrefixLength = 16;
// 10.79.0.0/16 and upwards.
constexpr unsigned kFirstSecondByte = 79;
constexpr unsigned kLastSecondByte = 119;
constexpr std::uint32_t kLargestMtu = 1500;

struct Network {
  std::string name;
  std::string bridge;
  netlink::IpPrefix subnet;
  std::uint32_t mtu = 0;
  std::uint32_t last_address = 0;

  [[nodiscard]] std::uint32_t gateway() const { return subnet.ipv4() + 1; }
};

/// Locally administered, made of the address: neighbours' caches stay right when an address is used
/// again.
netlink::MacAddress mac_of(std::uint32_t address) {
  return {0x02,
          0x00,
          static_cast<std::uint8_t>(address >> 24U),
          static_cast<std::uint8_t>(address >> 16U),
          static_cast<std::uint8_t>(address >> 8U),
          static_cast<std::uint8_t>(address)};
}

std::string interface_of(std::uint32_t address) { return fmt::format("bh{:08x}", address); }

Guest guest_of(std::uint32_t address) {
  return {.interface = interface_of(address),
          .mac = mac_of(address),
          .address = netlink::IpPrefix::from_ipv4(address, 32)};
}

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

/// A /16 that nothing on this host uses.
Result<netlink::IpPrefix> free_subnet(netlink::Socket& route) {
  std::vector<netlink::IpPrefix> used;
  for (const auto& entry : BH_TRY(netlink::list_routes(route))) {
    if (entry.destination && entry.destination->length() > 0) {
      used.push_back(*entry.destination);
    }
  }
  for (const auto& entry : BH_TRY(netlink::list_addresses(route))) {
    used.push_back(entry.address);
  }
  for (unsigned byte = kFirstSecondByte; byte <= kLastSecondByte; ++byte) {
    const auto candidate =
        netlink::IpPrefix::from_ipv4((10U << 24U) | (byte << 16U), kPrefixLength);
    if (std::ranges::none_of(used, [&](const auto& other) { return other.overlaps(candidate); })) {
      return candidate;
    }
  }
  return fail(ErrorCode::ResourceExhausted,
              "no free network from 10.{}.0.0/16 to 10.{}.0.0/16: routes use them all",
              kFirstSecondByte, kLastSecondByte);
}

/// The network of the bridge's address, when it is one that we would have given it.
Result<std::optional<netlink::IpPrefix>> subnet_of_bridge(netlink::Socket& route,
                                                          std::string_view name) {
  const auto bridge = BH_TRY(netlink::find_link(route, name));
  if (!bridge) {
    return std::nullopt;
  }
  for (const auto& entry : BH_TRY(netlink::list_addresses(route))) {
    if (entry.link_index == bridge->index && entry.address.family() == AF_INET &&
        entry.address.length() == kPrefixLength && (entry.address.ipv4() & 0xffffU) == 1) {
      return netlink::IpPrefix::from_ipv4(entry.address.ipv4() & 0xffff0000U, kPrefixLength);
    }
  }
  return std::nullopt;
}

Result<> write_sysctl(const std::string& path, std::string_view value) {
  const os::UniqueFd fd = BH_TRY(os::open_file(path, O_WRONLY));
  return os::write_all(fd.get(), as_bytes(value)).context(path);
}

}  // namespace

struct Networks::State {
  std::string lock_path;
  db::Database database;
  std::optional<netlink::Socket> route;
  std::optional<netlink::Socket> netfilter;

  Result<> connect() {
    if (!route) {
      route = BH_TRY(netlink::Socket::open(netlink::Protocol::Route));
      netfilter = BH_TRY(netlink::Socket::open(netlink::Protocol::Netfilter));
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
    return Network{.name = row.text(0),
                   .bridge = row.text(1),
                   .subnet = BH_TRY(netlink::IpPrefix::parse(row.text(2))),
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

  /// The default network is written down the first time that it is asked for.
  Result<Network> find_or_create(std::string_view name) {
    if (auto found = BH_TRY(find(name))) {
      return *std::move(found);
    }
    if (name != kDefaultNetwork) {
      return fail(ErrorCode::NotFound, "network {}: not found", quote(name));
    }
    auto transaction = BH_TRY(db::Transaction::begin(database));
    if (auto found = BH_TRY(find(name))) {
      return *std::move(found);
    }
    // A bridge that outlived the database (a run directory that was wiped) keeps its subnet.
    const auto kept = BH_TRY(subnet_of_bridge(*route, kDefaultBridge));
    Network network{.name = std::string(name),
                    .bridge = std::string(kDefaultBridge),
                    .subnet = kept ? *kept : BH_TRY(free_subnet(*route)),
                    .mtu = BH_TRY(outward_mtu(*route)),
                    .last_address = 0};
    network.last_address = network.gateway();
    auto insert = BH_TRY(database.prepare("INSERT INTO networks VALUES (?, ?, ?, ?, ?)"));
    BH_TRY(insert.bind(1, network.name)
               .bind(2, network.bridge)
               .bind(3, network.subnet.text())
               .bind(4, std::int64_t{network.mtu})
               .bind(5, std::int64_t{network.last_address})
               .run());
    BH_TRY(std::move(transaction).commit());
    return network;
  }

  /// The bridge's index. It is there already but for the first container since the last boot.
  Result<std::uint32_t> ensure_bridge(const Network& network) {
    if (const auto link = BH_TRY(netlink::find_link(*route, network.bridge)); link && link->is_up) {
      return link->index;
    }
    const auto lock = BH_TRY(os::FileLock::acquire(lock_path));
    auto link = BH_TRY(netlink::find_link(*route, network.bridge));
    if (!link) {
      BH_TRY(netlink::create_bridge(*route, network.bridge, mac_of(network.gateway())));
      link = BH_TRY(netlink::find_link(*route, network.bridge));
      if (!link) {
        return fail(ErrorCode::Unavailable, "bridge {}: gone as soon as made", network.bridge);
      }
    }
    const auto gateway = netlink::IpPrefix::from_ipv4(network.gateway(), network.subnet.length());
    auto added = netlink::add_address(*route, link->index, gateway);
    if (!added && added.error().code() != ErrorCode::AlreadyExists) {
      return added.error();
    }
    BH_TRY(write_sysctl("/proc/sys/net/ipv4/ip_forward", "1")
               .context("forwarding is off and cannot be switched on"));
    BH_TRY(install_rules());
    // Last: a bridge that is up is one that is complete.
    BH_TRY(netlink::change_link(*route, link->index, {.up = true, .mtu = network.mtu}));
    return link->index;
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

  Result<> install_rules() {
    std::vector<netlink::IpPrefix> subnets;
    std::vector<Guest> guests;
    for (const Network& network : BH_TRY(all())) {
      subnets.push_back(network.subnet);
      for (const std::uint32_t address : BH_TRY(leased(network.name))) {
        guests.push_back(guest_of(address));
      }
    }
    return install_firewall(subnets, guests);
  }

  /// The next free address behind the last one leased, from the beginning again at the end.
  Result<std::uint32_t> lease(const Network& network, const std::string& owner) {
    auto transaction = BH_TRY(db::Transaction::begin(database));
    auto last = BH_TRY(database.prepare("SELECT last_address FROM networks WHERE name = ?"));
    if (!BH_TRY(last.bind(1, network.name).step())) {
      return fail(ErrorCode::NotFound, "network {}: not found", network.name);
    }
    const auto in_use = BH_TRY(leased(network.name));
    const std::uint32_t first = network.gateway() + 1;
    const std::uint32_t count = (1U << (32U - network.subnet.length())) - 3;  // without broadcast
    const std::uint32_t start = static_cast<std::uint32_t>(last.integer(0)) + 1 - first;
    std::optional<std::uint32_t> address;
    for (std::uint32_t i = 0; i < count && !address; ++i) {
      const std::uint32_t candidate = first + (start + i) % count;
      if (!std::ranges::binary_search(in_use, candidate)) {
        address = candidate;
      }
    }
    if (!address) {
      return fail(ErrorCode::ResourceExhausted, "network {}: all {} addresses are in use",
                  network.name, count);
    }
    last.reset();
    auto insert = BH_TRY(database.prepare("INSERT INTO leases VALUES (?, ?, ?)"));
    auto inserted =
        insert.bind(1, network.name).bind(2, std::int64_t{*address}).bind(3, owner).run();
    if (!inserted) {
      return inserted.error().code() == ErrorCode::AlreadyExists
                 ? fail(ErrorCode::AlreadyExists, "network {}: {} has an address already",
                        network.name, owner)
                 : inserted.error();
    }
    auto update = BH_TRY(database.prepare("UPDATE networks SET last_address = ? WHERE name = ?"));
    BH_TRY(update.bind(1, std::int64_t{*address}).bind(2, network.name).run());
    BH_TRY(std::move(transaction).commit());
    return *address;
  }

  Result<Attachment> plug_in(const Network& network, std::uint32_t bridge, std::uint32_t address) {
    const Guest guest = guest_of(address);
    Attachment attachment{
        .network = network.name,
        .interface = guest.interface,
        .tap = BH_TRY(create_tap(guest.interface)),
        .mac_address = netlink::format_mac(guest.mac),
        .address = guest.address.address_text(),
        .prefix_length = network.subnet.length(),
        .gateway = netlink::IpPrefix::from_ipv4(network.gateway(), 32).address_text(),
        .mtu = network.mtu};
    // The host itself has nothing to say on a guest's port: no IPv6 autoconfiguration there.
    std::ignore = write_sysctl("/proc/sys/net/ipv6/conf/" + guest.interface + "/disable_ipv6", "1");
    const auto link = BH_TRY(netlink::find_link(*route, guest.interface));
    if (!link) {
      return fail(ErrorCode::Unavailable, "TAP {}: gone as soon as made", guest.interface);
    }
    auto admitted = admit_guest(*netfilter, guest);
    if (!admitted && admitted.error().code() == ErrorCode::NotFound) {
      // Somebody flushed the rules.
      const auto lock = BH_TRY(os::FileLock::acquire(lock_path));
      admitted = install_rules();
    }
    BH_TRY(std::move(admitted));
    BH_TRY(netlink::change_link(*route, link->index,
                                {.up = true, .mtu = network.mtu, .controller = bridge}));
    return attachment;
  }

  Result<> release(std::uint32_t address) {
    BH_TRY(connect());
    auto expelled = expel_guest(*netfilter, guest_of(address));
    // Without the tables there is nothing to be taken out of.
    if (!expelled && expelled.error().code() != ErrorCode::NotFound) {
      return expelled;
    }
    return {};
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
  return Networks(std::unique_ptr<State>(new State{.lock_path = run_directory + "/network.lock",
                                                   .database = std::move(database),
                                                   .route = std::nullopt,
                                                   .netfilter = std::nullopt}));
}

Result<Attachment> Networks::attach(std::string_view name, const std::string& owner) {
  BH_TRY(state_->connect());
  const Network network = BH_TRY(state_->find_or_create(name));
  const std::uint32_t bridge =
      BH_TRY(state_->ensure_bridge(network).context("network " + network.name));
  const std::uint32_t address = BH_TRY(state_->lease(network, owner));
  auto attachment = state_->plug_in(network, bridge, address).context("network " + network.name);
  if (!attachment) {
    std::ignore = detach(owner);
  }
  return attachment;
}

Result<> Networks::detach(const std::string& owner) {
  auto select = BH_TRY(state_->database.prepare("SELECT address FROM leases WHERE owner = ?"));
  if (!BH_TRY(select.bind(1, owner).step())) {
    return {};
  }
  const auto address = static_cast<std::uint32_t>(select.integer(0));
  select.reset();
  // The rule goes before the lease: the address's next owner must not lose the rule it just made.
  BH_TRY(state_->release(address));
  auto remove = BH_TRY(state_->database.prepare("DELETE FROM leases WHERE owner = ?"));
  return remove.bind(1, owner).run();
}

Result<> Networks::reap(const std::function<bool(const std::string& owner)>& is_alive) {
  std::vector<std::string> owners;
  {
    auto select = BH_TRY(state_->database.prepare("SELECT owner FROM leases"));
    while (BH_TRY(select.step())) {
      owners.push_back(select.text(0));
    }
  }
  for (const std::string& owner : owners) {
    if (!is_alive(owner)) {
      BH_TRY(detach(owner));
    }
  }
  return {};
}

Result<std::vector<NetworkInfo>> Networks::list() {
  std::vector<NetworkInfo> list;
  for (const Network& network : BH_TRY(state_->all())) {
    list.push_back({.name = network.name,
                    .bridge = network.bridge,
                    .subnet = network.subnet.text(),
                    .gateway = netlink::IpPrefix::from_ipv4(network.gateway(), 32).address_text(),
                    .mtu = network.mtu,
                    .leases = BH_TRY(state_->leased(network.name)).size()});
  }
  return list;
}

}  // namespace bulkhead::network
