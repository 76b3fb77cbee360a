// Networks against the kernel, in a network namespace of the test's own; `nft` and `ip` are asked
// what the kernel thinks.
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"

namespace bulkhead::network {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string output_of(std::vector<std::string> command) {
  return os::run_command(std::move(command)).value().out;
}

class NetworksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no network namespaces here (must run as root)";
    }
    ASSERT_EQ(os::run_command({"ip", "link", "set", "lo", "up"})->status.shell_code(), 0);
    std::string pattern = "/tmp/bh-net-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }

  void TearDown() override {
    if (!directory_.empty()) {
      EXPECT_THAT(os::remove_tree(directory_), IsOk());
    }
  }

  Networks open() { return Networks::open(directory_).value(); }

  std::string directory_;
};

/// What a guest would write to its virtio-net device: a header of zeros and a frame.
std::vector<std::byte> arp_request(const std::string& mac, const std::string& from,
                                   const std::string& to) {
  struct Frame {
    std::array<std::uint8_t, 10> virtio{};
    std::array<std::uint8_t, 6> destination{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    netlink::MacAddress source{};
    be16 type = std::uint16_t{ETHERTYPE_ARP};
    be16 hardware = std::uint16_t{1};
    be16 protocol = std::uint16_t{ETHERTYPE_IP};
    std::uint8_t hardware_size = 6;
    std::uint8_t protocol_size = 4;
    be16 operation = std::uint16_t{1};
    netlink::MacAddress sender_mac{};
    std::array<std::byte, 4> sender{};
    std::array<std::uint8_t, 6> target_mac{};
    std::array<std::byte, 4> target{};
  };

  Frame frame;
  frame.source = netlink::parse_mac(mac).value();
  frame.sender_mac = frame.source;
  std::memcpy(frame.sender.data(), netlink::IpPrefix::parse(from).value().address().data(), 4);
  std::memcpy(frame.target.data(), netlink::IpPrefix::parse(to).value().address().data(), 4);
  const Bytes bytes = object_bytes(frame);
  return {bytes.begin(), bytes.end()};
}

/// Whether an ARP reply comes out of the TAP.
bool is_answered(int tap) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait{.fd = tap, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, 100) <= 0) {
      continue;
    }
    std::array<std::uint8_t, 2048> frame{};
    const ssize_t n = ::read(tap, frame.data(), frame.size());
    // Behind the virtio header: type at 12, operation at 20 of the frame.
    if (n >= 10 + 42 && frame[10 + 12] == 0x08 && frame[10 + 13] == 0x06 && frame[10 + 21] == 2) {
      return true;
    }
  }
  return false;
}

TEST_F(NetworksTest, AttachMakesAPlaceAndDetachLeavesNothing) {
  Networks networks = open();
  auto attachment = networks.attach("bulkhead", "one");
  ASSERT_THAT(attachment, IsOk());
  EXPECT_EQ(attachment->address, "10.79.0.2");
  EXPECT_EQ(attachment->gateway, "10.79.0.1");
  EXPECT_EQ(attachment->mac_address, "02:00:0a:4f:00:02");
  EXPECT_THAT(output_of({"ip", "-o", "link", "show", "master", "bulkhead0"}),
              HasSubstr(attachment->interface));
  EXPECT_THAT(output_of({"ip", "-o", "addr", "show", "bulkhead0"}), HasSubstr("10.79.0.1/16"));
  EXPECT_THAT(output_of({"nft", "list", "ruleset"}), HasSubstr("10.79.0.2"));
  EXPECT_THAT(networks.attach("bulkhead", "one"), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(networks.attach("nowhere", "two"), IsError(ErrorCode::NotFound));
  attachment->tap.reset();
  ASSERT_THAT(networks.detach("one"), IsOk());
  EXPECT_THAT(networks.detach("one"), IsOk());
  EXPECT_THAT(output_of({"ip", "-o", "link"}), Not(HasSubstr(attachment->interface)));
  EXPECT_THAT(output_of({"nft", "list", "ruleset"}), Not(HasSubstr("10.79.0.2")));
}

TEST_F(NetworksTest, FiftyAtOnceGetFiftyAddresses) {
  std::vector<std::optional<Attachment>> attachments(50);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < attachments.size(); ++i) {
      threads.emplace_back([&, i] {
        Networks networks = Networks::open(directory_).value();
        auto attachment = networks.attach("bulkhead", "owner" + std::to_string(i));
        ASSERT_THAT(attachment, IsOk());
        attachments[i] = *std::move(attachment);
      });
    }
  }
  std::set<std::string> addresses;
  for (const auto& attachment : attachments) {
    ASSERT_TRUE(attachment.has_value());
    addresses.insert(attachment->address);
  }
  EXPECT_EQ(addresses.size(), 50U);
  attachments.clear();
  Networks networks = open();
  EXPECT_THAT(networks.reap([](const std::string& owner) { return owner == "owner7"; }), IsOk());
  const auto list = networks.list();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->front().leases, 1U);
}

TEST_F(NetworksTest, AGuestIsHeardOnlyWithItsOwnAddresses) {
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  const auto two = networks.attach("bulkhead", "two");
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  const auto ask = [&](const std::string& mac, const std::string& from) {
    EXPECT_THAT(os::write_all(one->tap.get(), arp_request(mac, from, one->gateway)), IsOk());
    return is_answered(one->tap.get());
  };
  EXPECT_TRUE(ask(one->mac_address, one->address));
  EXPECT_FALSE(ask(one->mac_address, two->address)) << "another's IP address";
  EXPECT_FALSE(ask(two->mac_address, one->address)) << "another's MAC address";
  EXPECT_FALSE(ask(two->mac_address, two->address)) << "both of another's";
  EXPECT_FALSE(ask(one->mac_address, one->gateway)) << "the gateway's own address";
}

TEST_F(NetworksTest, FlushedRulesComeBack) {
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  ASSERT_EQ(os::run_command({"nft", "flush", "ruleset"})->status.shell_code(), 0);
  const auto two = networks.attach("bulkhead", "two");
  ASSERT_THAT(two, IsOk());
  const std::string rules = output_of({"nft", "list", "ruleset"});
  EXPECT_THAT(rules, HasSubstr(one->address));
  EXPECT_THAT(rules, HasSubstr(two->address));
  EXPECT_THAT(rules, HasSubstr("masquerade"));
  ASSERT_EQ(os::run_command({"nft", "flush", "ruleset"})->status.shell_code(), 0);
  EXPECT_THAT(networks.detach("one"), IsOk());
}

TEST_F(NetworksTest, AUsedSubnetIsAvoided) {
  ASSERT_EQ(
      os::run_command({"ip", "addr", "add", "10.79.5.1/24", "dev", "lo"})->status.shell_code(), 0);
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->address, "10.80.0.2");
}

TEST_F(NetworksTest, AnAddressIsNotUsedAgainAtOnce) {
  Networks networks = open();
  {
    ASSERT_THAT(networks.attach("bulkhead", "one"), IsOk());
  }
  ASSERT_THAT(networks.detach("one"), IsOk());
  const auto two = networks.attach("bulkhead", "two");
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->address, "10.79.0.3");
}

TEST_F(NetworksTest, TheFirewallIsRemovedWhole) {
  ASSERT_THAT(install_firewall({netlink::IpPrefix::parse("10.79.0.0/16").value()}, {}), IsOk());
  ASSERT_THAT(remove_firewall(), IsOk());
  EXPECT_EQ(output_of({"nft", "list", "ruleset"}), "");
  EXPECT_THAT(remove_firewall(), IsOk());
}

}  // namespace
}  // namespace bulkhead::network
