// What guests can send and what reaches them: frames are written into their TAPs and read from
// them, in a network namespace of the test's own, with a second one as the world beyond the host.
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/forwarding.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/os/io.h"

#include "network_fixture.h"

namespace bulkhead::network {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint16_t kIp = 0x0800;
constexpr std::uint8_t kIcmp = 1;

/// A virtio-net header of zeros and an Ethernet header.
struct FrameHeader {
  std::array<std::uint8_t, 10> virtio{};
  netlink::MacAddress destination{};
  netlink::MacAddress source{};
  be16 type = std::uint16_t{0};
};

static_assert(sizeof(FrameHeader) == 24);

using Ipv4 = std::array<std::byte, 4>;

Ipv4 ipv4(const std::string& text) {
  Ipv4 address{};
  std::memcpy(address.data(), netlink::IpPrefix::parse(text).value().address().data(), 4);
  return address;
}

struct ArpFrame {
  FrameHeader header;
  be16 hardware = std::uint16_t{1};
  be16 protocol = kIp;
  std::uint8_t hardware_size = 6;
  std::uint8_t protocol_size = 4;
  be16 operation = std::uint16_t{1};
  netlink::MacAddress sender_mac{};
  Ipv4 sender{};
  netlink::MacAddress target_mac{};
  Ipv4 target{};
};

static_assert(sizeof(ArpFrame) == 24 + 28);

struct EchoFrame {
  FrameHeader header;
  std::uint8_t version = 0x45;
  std::uint8_t service = 0;
  be16 length = std::uint16_t{28};
  be16 id = std::uint16_t{0};
  be16 fragment = std::uint16_t{0};
  std::uint8_t time_to_live = 64;
  std::uint8_t protocol = kIcmp;
  be16 checksum = std::uint16_t{0};
  Ipv4 source{};
  Ipv4 destination{};
  std::uint8_t icmp_type = 8;
  std::uint8_t icmp_code = 0;
  be16 icmp_checksum = std::uint16_t{0};
  be16 icmp_id = std::uint16_t{7};
  be16 icmp_sequence = std::uint16_t{1};
};

static_assert(sizeof(EchoFrame) == 24 + 28);

/// Source: RFC 1071.
std::uint16_t internet_checksum(Bytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    sum += (static_cast<std::uint32_t>(bytes[i]) << 8U) + static_cast<std::uint32_t>(bytes[i + 1]);
  }
  while (sum > 0xffffU) {
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(~sum);
}

struct Sender {
  std::string frame_mac;
  std::string arp_mac;
  std::string address;
};

template <class Frame>
void send(const Attachment& from, const Frame& frame) {
  ASSERT_THAT(os::write_all(from.tap.get(), object_bytes(frame)), IsOk());
}

/// Whether a frame that `is_it` recognises comes out of the TAP.
bool receives(const Attachment& guest, const std::function<bool(Bytes frame)>& is_it) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait{.fd = guest.tap.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, 100) <= 0) {
      continue;
    }
    std::array<std::byte, 2048> frame{};
    const auto size = os::read_some(guest.tap.get(), frame);
    if (size && is_it(Bytes(frame).first(*size))) {
      return true;
    }
  }
  return false;
}

template <class Frame>
Frame read_as(Bytes bytes) {
  Frame frame;
  std::memcpy(&frame, bytes.data(), std::min(bytes.size(), sizeof frame));
  return frame;
}

/// Whether the gateway answers when `sender` asks for it from that guest's TAP.
bool is_answered(const Attachment& guest, const Sender& sender) {
  ArpFrame frame;
  frame.header.destination.fill(0xff);
  frame.header.source = netlink::parse_mac(sender.frame_mac).value();
  frame.header.type = kArp;
  frame.sender_mac = netlink::parse_mac(sender.arp_mac).value();
  frame.sender = ipv4(sender.address);
  frame.target = ipv4(guest.gateway);
  send(guest, frame);
  return receives(guest, [](Bytes bytes) {
    const auto answer = read_as<ArpFrame>(bytes);
    return answer.header.type == kArp && answer.operation == 2;
  });
}

/// Introduces the guest to the gateway, which then knows where to send. Not at once: a bridge takes
/// notice of a new port's carrier when it comes to it.
bool introduce(const Attachment& guest) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (is_answered(guest, {.frame_mac = guest.mac_address,
                            .arp_mac = guest.mac_address,
                            .address = guest.address})) {
      return true;
    }
  }
  return false;
}

/// Whether an address answers the guest's ping.
bool pings(const Attachment& guest, const std::string& address) {
  EXPECT_TRUE(introduce(guest));
  EchoFrame frame;
  netlink::MacAddress gateway = netlink::parse_mac(guest.mac_address).value();
  const Ipv4 gateway_address = ipv4(guest.gateway);
  std::memcpy(gateway.data() + 2, gateway_address.data(), gateway_address.size());
  frame.header.destination = gateway;
  frame.header.source = netlink::parse_mac(guest.mac_address).value();
  frame.header.type = kIp;
  frame.source = ipv4(guest.address);
  frame.destination = ipv4(address);
  const Bytes bytes = object_bytes(frame);
  frame.checksum = internet_checksum(bytes.subspan(sizeof(FrameHeader), 20));
  frame.icmp_checksum = internet_checksum(bytes.subspan(sizeof(FrameHeader) + 20));
  send(guest, frame);
  return receives(guest, [&](Bytes answer_bytes) {
    const auto answer = read_as<EchoFrame>(answer_bytes);
    return answer.header.type == kIp && answer.protocol == kIcmp && answer.icmp_type == 0 &&
           answer.source == ipv4(address);
  });
}

/// A network namespace that is reached through a link, and knows no way back to containers.
class World {
 public:
  World() {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe(ready.data()), 0);
    child_ = ::fork();
    if (child_ == 0) {
      const char good = ::unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      std::ignore = ::write(ready[1], &good, 1);
      while (true) {
        ::pause();
      }
    }
    char good = 'n';
    EXPECT_EQ(::read(ready[0], &good, 1), 1);
    EXPECT_EQ(good, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    shell(
        fmt::format("ip link add outward type veth peer name inward netns {0};"
                    "ip addr add 192.0.2.1/24 dev outward; ip link set outward up;"
                    "nsenter -t {0} -n ip addr add 192.0.2.2/24 dev inward;"
                    "nsenter -t {0} -n ip link set inward up",
                    child_));
  }

  World(const World&) = delete;
  World& operator=(const World&) = delete;

  ~World() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  void run(const std::string& script) const {
    shell(fmt::format("nsenter -t {} -n sh -c '{}'", child_, script));
  }

 private:
  pid_t child_ = -1;
};

TEST_F(NetworksTest, AGuestIsHeardOnlyWithItsOwnAddresses) {
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  const auto two = networks.attach("bulkhead", "two");
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  const auto ask = [&](const std::string& frame_mac, const std::string& arp_mac,
                       const std::string& from) {
    return is_answered(*one, {.frame_mac = frame_mac, .arp_mac = arp_mac, .address = from});
  };
  EXPECT_TRUE(introduce(*one));
  EXPECT_FALSE(ask(one->mac_address, one->mac_address, two->address)) << "another's IP address";
  EXPECT_FALSE(ask(two->mac_address, two->mac_address, one->address)) << "another's MAC address";
  EXPECT_FALSE(ask(two->mac_address, two->mac_address, two->address)) << "both of another's";
  EXPECT_FALSE(ask(one->mac_address, one->mac_address, one->gateway)) << "the gateway's own";
  EXPECT_FALSE(ask(two->mac_address, one->mac_address, one->address)) << "another's frame";
  EXPECT_FALSE(ask(one->mac_address, two->mac_address, one->address)) << "another's MAC in ARP";
  EXPECT_THAT(output_of({"bridge", "fdb", "show", "dev", one->interface}),
              Not(HasSubstr(two->mac_address)))
      << "the bridge must not learn that another lives here";
}

TEST_F(NetworksTest, WhatLeavesIsTranslatedAndNothingComesIn) {
  const World world;
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_TRUE(pings(*one, one->gateway));
  EXPECT_TRUE(pings(*one, "192.0.2.2"));
  world.run("ip route add 10.79.0.0/16 via 192.0.2.1; ping -c 1 -W 1 " + one->address + " || true");
  EXPECT_FALSE(receives(*one, [](Bytes bytes) {
    const auto frame = read_as<EchoFrame>(bytes);
    return frame.header.type == kIp && frame.icmp_type == 8;
  }));
}

TEST_F(NetworksTest, TheHostsLoopbackIsOutOfReach) {
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  // With this the kernel itself lets such packets in.
  shell("sysctl -qw net.ipv4.conf.bulkhead0.route_localnet=1 net.ipv4.conf.all.route_localnet=1");
  EXPECT_FALSE(pings(*one, "127.0.0.1"));
}

/// Our rules in a chain of iptables' filter table.
std::string rules_in(const std::string& chain) {
  const std::string all = output_of({"nft", "list", "chain", "ip", "filter", chain});
  std::string rules;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    if (const std::string line = all.substr(at, end - at); line.contains("bulkhead")) {
      // "iifname "bulkhead0" counter packets 1 bytes 84 accept comment "bulkhead""
      rules += line.contains("iifname") ? "in " : "out ";
    }
    at = end + 1;
  }
  return rules;
}

TEST_F(NetworksTest, ContainersReachOutWhereDockerOrUfwDropForwardedPackets) {
  const World world;
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  // As docker and ufw have it, and after the network was made.
  shell(
      "nft add table ip filter;"
      "nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }';"
      "nft add chain ip filter DOCKER-USER");
  EXPECT_FALSE(pings(*one, "192.0.2.2"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(networks.attach("bulkhead", "other" + std::to_string(i)), IsOk());
    EXPECT_EQ(rules_in("FORWARD"), "out in ");
    EXPECT_EQ(rules_in("DOCKER-USER"), "out in ");
  }
  EXPECT_TRUE(pings(*one, "192.0.2.2"));
  world.run("ip route add 10.79.0.0/16 via 192.0.2.1; ping -c 1 -W 1 " + one->address + " || true");
  EXPECT_FALSE(receives(*one, [](Bytes bytes) {
    const auto frame = read_as<EchoFrame>(bytes);
    return frame.header.type == kIp && frame.icmp_type == 8;
  })) << "the way out is no way in";
  shell("nft flush chain ip filter FORWARD");
  ASSERT_THAT(networks.attach("bulkhead", "again"), IsOk());
  EXPECT_EQ(rules_in("FORWARD"), "out in ");
  EXPECT_EQ(rules_in("DOCKER-USER"), "out in ");
  // An administrator's own rule, or ours restored without its comment, is as good.
  shell(
      "nft flush chain ip filter FORWARD;"
      "nft add rule ip filter FORWARD oifname bulkhead0 accept;"
      "nft add rule ip filter FORWARD iifname bulkhead0 ip daddr 192.0.2.9 counter accept");
  ASSERT_THAT(networks.attach("bulkhead", "once more"), IsOk());
  EXPECT_EQ(rules_in("FORWARD"), "in out in ") << "the last one is for one address only";
  shell(
      "nft delete rule ip filter FORWARD handle $(nft -a list chain ip filter FORWARD |"
      "  sed -n 's/.*192.0.2.9.*handle //p')");
  EXPECT_THAT(warnings_, IsEmpty());

  auto netfilter = netlink::Socket::open(netlink::Protocol::Netfilter);
  ASSERT_THAT(netfilter, IsOk());
  ASSERT_THAT(close_forwarding(*netfilter, "bulkhead0"), IsOk());
  EXPECT_EQ(rules_in("FORWARD"), "");
  EXPECT_EQ(rules_in("DOCKER-USER"), "");
}

TEST_F(NetworksTest, OtherTablesThatDropAreWarnedOf) {
  shell(
      "nft add table inet own;"
      "nft add chain inet own forwarded '{ type filter hook forward priority 0; policy drop; }';"
      "nft add table ip filter;"
      "nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy accept; }'");
  ASSERT_THAT(open().attach("bulkhead", "one"), IsOk());
  EXPECT_THAT(warnings_, testing::ElementsAre(HasSubstr("forwarded")));
  EXPECT_EQ(rules_in("FORWARD"), "") << "it accepts already";
}

}  // namespace
}  // namespace bulkhead::network
