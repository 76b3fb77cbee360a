// Networks against the kernel, in a network namespace of the test's own; `nft` and `ip` are asked
// what the kernel thinks.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/db/database.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/os/file.h"

#include "network_fixture.h"

namespace bulkhead::network {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::string text_of(const json::Value& object, std::string_view name) {
  const json::Value* value = object.find(name);
  const std::string* text = value == nullptr ? nullptr : value->as_string();
  return text == nullptr ? "" : *text;
}

/// What the first element of a JSON array says.
json::Value first_of(const std::string& text) {
  return json::parse(text, "output of ip").value().as_array()->at(0);
}

/// The triples that may send, as nft reads them: "interface mac address".
std::vector<std::string> admitted() {
  std::vector<std::string> guests;
  const json::Value root =
      json::parse(output_of({"nft", "-j", "list", "set", "bridge", "bulkhead", "guests"}),
                  "output of nft")
          .value();
  for (const json::Value& entry : *root.find("nftables")->as_array()) {
    const json::Value* set = entry.find("set");
    const json::Value* elements = set == nullptr ? nullptr : set->find("elem");
    if (elements == nullptr) {
      continue;
    }
    for (const json::Value& element : *elements->as_array()) {
      const json::Array& fields = *element.find("concat")->as_array();
      guests.push_back(*fields.at(0).as_string() + " " + *fields.at(1).as_string() + " " +
                       *fields.at(2).as_string());
    }
  }
  return guests;
}

/// Changes the database of a run directory.
void execute(const std::string& run_directory, const std::string& sql) {
  constexpr std::array<std::string_view, 1> kAsItIs = {""};
  auto database = db::Database::open(run_directory + "/network.db", kAsItIs);
  ASSERT_THAT(database, IsOk());
  ASSERT_THAT(database->execute(sql), IsOk());
}

TEST_F(NetworksTest, AttachMakesAPlaceAndDetachLeavesNothing) {
  Networks networks = open();
  auto attachment = networks.attach("bulkhead", "one");
  ASSERT_THAT(attachment, IsOk());
  EXPECT_EQ(attachment->address, "10.79.0.2");
  EXPECT_EQ(attachment->gateway, "10.79.0.1");
  EXPECT_EQ(attachment->mac_address, "02:00:0a:4f:00:02");
  EXPECT_THAT(networks.attach("bulkhead", "one"), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(networks.attach("nowhere", "two"), IsError(ErrorCode::NotFound));
  attachment->tap.reset();
  ASSERT_THAT(networks.detach("one"), IsOk());
  EXPECT_THAT(networks.detach("one"), IsOk());
  EXPECT_THAT(output_of({"ip", "-o", "link"}), Not(HasSubstr(attachment->interface)));
  EXPECT_THAT(admitted(), IsEmpty());
}

TEST_F(NetworksTest, OthersReadWhatWeMade) {
  Networks networks = open();
  const auto attachment = networks.attach("bulkhead", "one");
  ASSERT_THAT(attachment, IsOk());

  const json::Value bridge = first_of(output_of({"ip", "-j", "-d", "addr", "show", "bulkhead0"}));
  EXPECT_EQ(text_of(*bridge.find("linkinfo"), "info_kind"), "bridge");
  EXPECT_EQ(text_of(bridge, "address"), "02:00:0a:4f:00:01");
  EXPECT_EQ(bridge.find("mtu")->as_integer<int>(), 1500);
  EXPECT_THAT(*bridge.find("flags")->as_array(), Contains(json::Value("UP")));
  const json::Array& addresses = *bridge.find("addr_info")->as_array();
  ASSERT_THAT(addresses, SizeIs(1)) << "no IPv6";
  EXPECT_EQ(text_of(addresses[0], "local"), "10.79.0.1");
  EXPECT_EQ(addresses[0].find("prefixlen")->as_integer<int>(), 16);
  EXPECT_EQ(text_of(addresses[0], "broadcast"), "10.79.255.255");

  const json::Value tap =
      first_of(output_of({"ip", "-j", "-d", "addr", "show", attachment->interface}));
  EXPECT_EQ(text_of(tap, "master"), "bulkhead0");
  EXPECT_EQ(text_of(*tap.find("linkinfo"), "info_kind"), "tun");
  const json::Value& data = *tap.find("linkinfo")->find("info_data");
  EXPECT_EQ(text_of(data, "type"), "tap");
  EXPECT_EQ(data.find("vnet_hdr")->as_bool(), true);
  EXPECT_EQ(data.find("persist")->as_bool(), false);
  EXPECT_THAT(*tap.find("flags")->as_array(), Contains(json::Value("UP")));
  EXPECT_THAT(*tap.find("addr_info")->as_array(), IsEmpty());

  EXPECT_THAT(admitted(), ElementsAre("bh0a4f0002 02:00:0a:4f:00:02 10.79.0.2"));
  EXPECT_THAT(output_of({"nft", "list", "table", "inet", "bulkhead"}),
              AllOf(HasSubstr("elements = { 10.79.0.0/16 }"),
                    HasSubstr("ip saddr @subnets ip daddr != @subnets masquerade")));
}

TEST_F(NetworksTest, FiftyAtOnceGetFiftyAddresses) {
  std::vector<std::optional<Attachment>> attachments(50);
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    threads.reserve(attachments.size());
    for (std::size_t i = 0; i < attachments.size(); ++i) {
      threads.emplace_back([&, i] {
        // Two run directories that know nothing of each other.
        Networks networks = open(i % 2 == 0 ? "run" : "other");
        auto attachment = networks.attach("bulkhead", "owner" + std::to_string(i));
        ASSERT_THAT(attachment, IsOk());
        attachments[i] = *std::move(attachment);
      });
    }
  }
  // About a second. All trying the same address would be a minute: each refusal of nftables is
  // slow.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  std::set<std::string> addresses;
  for (const auto& attachment : attachments) {
    ASSERT_TRUE(attachment.has_value());
    EXPECT_EQ(attachment->gateway, "10.79.0.1");
    addresses.insert(attachment->address);
  }
  EXPECT_EQ(addresses.size(), 50U);
  EXPECT_THAT(admitted(), SizeIs(50));
  attachments.clear();
  Networks networks = open();
  EXPECT_THAT(networks.reap([](const std::string& owner) { return owner == "owner8"; }), IsOk());
  const auto list = networks.list();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->front().leases, 1U);
  EXPECT_THAT(admitted(), SizeIs(26)) << "the other run directory's are left alone";
}

TEST_F(NetworksTest, ATakenNameOrGuestIsPassedOver) {
  Networks networks = open();
  ASSERT_THAT(networks.attach("bulkhead", "seed"), IsOk());
  ASSERT_THAT(networks.detach("seed"), IsOk());
  // Next would be .3, then .4.
  shell("ip tuntap add bh0a4f0003 mode tap");
  shell(
      "nft add element bridge bulkhead guests "
      "'{ \"bh0a4f0004\" . 02:00:0a:4f:00:04 . 10.79.0.4 }'");
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->address, "10.79.0.5");
  EXPECT_THAT(admitted(), UnorderedElementsAre("bh0a4f0004 02:00:0a:4f:00:04 10.79.0.4",
                                               "bh0a4f0005 02:00:0a:4f:00:05 10.79.0.5"));
  EXPECT_THAT(output_of({"ip", "-o", "link"}), HasSubstr("bh0a4f0003"));
}

TEST_F(NetworksTest, AFailedAttachLeavesOthersAlone) {
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  Networks other = open("other");
  ASSERT_THAT(other.list(), IsOk());
  // Nothing can be written down any more.
  execute(directory_ + "/other",
          "CREATE TRIGGER no BEFORE INSERT ON leases BEGIN SELECT RAISE(ABORT, 'no'); END");
  EXPECT_FALSE(other.attach("bulkhead", "two").has_value());
  EXPECT_THAT(admitted(), ElementsAre("bh0a4f0002 02:00:0a:4f:00:02 10.79.0.2"));
  EXPECT_THAT(output_of({"ip", "-o", "link"}), HasSubstr("bh0a4f0002"));
}

TEST_F(NetworksTest, ALeaseThatACrashLeftIsReplaced) {
  Networks networks = open();
  {
    ASSERT_THAT(networks.attach("bulkhead", "one"), IsOk());
  }
  const auto again = networks.attach("bulkhead", "one");
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->address, "10.79.0.3");
  EXPECT_THAT(admitted(), ElementsAre("bh0a4f0003 02:00:0a:4f:00:03 10.79.0.3"));
}

TEST_F(NetworksTest, ReapingGoesOnAfterAFailure) {
  Networks networks = open();
  for (const char* owner : {"one", "two", "three"}) {
    ASSERT_THAT(networks.attach("bulkhead", owner), IsOk());
  }
  execute(directory_ + "/run",
          "CREATE TRIGGER no BEFORE DELETE ON leases WHEN old.owner = 'one' BEGIN "
          "SELECT RAISE(ABORT, 'no'); END");
  EXPECT_FALSE(networks.reap([](const std::string&) { return false; }).has_value());
  EXPECT_EQ(networks.list()->front().leases, 1U);
}

TEST_F(NetworksTest, AWipedRunDirectoryKeepsTheBridgesSubnet) {
  shell("ip addr add 10.79.5.1/24 dev lo");
  std::optional<Attachment> one;
  {
    Networks networks = open();
    one = networks.attach("bulkhead", "one").value();
  }
  EXPECT_EQ(one->address, "10.80.0.2");
  shell("ip addr del 10.79.5.1/24 dev lo");
  ASSERT_THAT(os::remove_tree(directory_ + "/run"), IsOk());
  const auto two = open().attach("bulkhead", "two");
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->address, "10.80.0.3") << "one's is in use still";
  EXPECT_EQ(two->gateway, "10.80.0.1");
}

TEST_F(NetworksTest, TheBridgeDecidesWhichSubnetIsUsed) {
  {
    ASSERT_THAT(open().attach("bulkhead", "one"), IsOk());
  }
  shell("ip link delete bulkhead0; ip addr add 10.79.5.1/24 dev lo");
  ASSERT_THAT(open("other").attach("bulkhead", "two"), IsOk());
  Networks networks = open();
  const auto three = networks.attach("bulkhead", "three");
  ASSERT_THAT(three, IsOk());
  EXPECT_EQ(three->gateway, "10.80.0.1");
  EXPECT_EQ(networks.list()->front().subnet, "10.80.0.0/16");
}

TEST_F(NetworksTest, ABridgeThatWasRemovedIsMadeAnewWhereThereIsRoom) {
  Networks networks = open();
  {
    ASSERT_THAT(networks.attach("bulkhead", "one"), IsOk());
  }
  ASSERT_THAT(networks.detach("one"), IsOk());
  shell("ip link delete bulkhead0; ip addr add 10.79.5.1/24 dev lo");
  const auto two = networks.attach("bulkhead", "two");
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->address, "10.80.0.2");
}

TEST_F(NetworksTest, WhatWasTakenAwayIsMadeAgain) {
  Networks networks = open();
  Networks other = open("other");
  const auto one = networks.attach("bulkhead", "one");
  const auto two = other.attach("bulkhead", "two");
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  const auto whole = [] {
    return output_of({"nft", "list", "table", "inet", "bulkhead"}) +
           output_of({"nft", "list", "chain", "bridge", "bulkhead", "guest"}) +
           output_of({"nft", "list", "chain", "bridge", "bulkhead", "prerouting"}) +
           output_of({"ip", "-br", "addr", "show", "bulkhead0"}) +
           output_of({"sysctl", "net.ipv4.ip_forward"}) +
           output_of({"ip", "-br", "link", "show", "master", "bulkhead0", "type", "tun"}) +
           output_of({"ip", "route"});
  };
  const std::string before = whole();
  for (const char* harm : {
           "nft delete table inet bulkhead",
           "nft delete table bridge bulkhead",
           "nft flush ruleset",
           "nft flush table inet bulkhead",
           "nft flush chain bridge bulkhead prerouting",
           "sysctl -qw net.ipv4.ip_forward=0",
           "ip addr flush dev bulkhead0",
           "ip link set bulkhead0 down",
           "ip link delete bulkhead0",
       }) {
    shell(harm);
    {
      ASSERT_THAT(networks.attach("bulkhead", "three"), IsOk()) << harm;
    }
    ASSERT_THAT(networks.detach("three"), IsOk()) << harm;
    EXPECT_EQ(whole(), before) << harm;
    EXPECT_THAT(admitted(), UnorderedElementsAre("bh0a4f0002 02:00:0a:4f:00:02 10.79.0.2",
                                                 "bh0a4f0003 02:00:0a:4f:00:03 10.79.0.3"))
        << harm;
  }
  shell("nft flush ruleset");
  EXPECT_THAT(networks.detach("one"), IsOk());
}

TEST_F(NetworksTest, ALinkOfSomebodyElseIsNotTouched) {
  struct Case {
    const char* make;
    const char* words;
  };

  for (const Case& test : {
           Case{"ip link add bulkhead0 type veth peer name other", "not a bridge"},
           Case{"ip link add bulkhead0 type bridge; ip addr add 172.30.0.1/16 dev bulkhead0; "
                "ip link set bulkhead0 up",
                "172.30.0.1/16"},
           Case{"ip link add bulkhead0 type bridge; ip link set bulkhead0 up",
                "was not made by bulkhead"},
       }) {
    shell("sysctl -qw net.ipv4.ip_forward=0; " + std::string(test.make));
    const auto attached = open().attach("bulkhead", "one");
    ASSERT_THAT(attached, IsError(ErrorCode::FailedPrecondition));
    EXPECT_THAT(attached.error().message(), AllOf(HasSubstr("bulkhead0"), HasSubstr(test.words),
                                                  HasSubstr("ip link delete bulkhead0")));
    EXPECT_EQ(output_of({"nft", "list", "ruleset"}), "");
    EXPECT_THAT(output_of({"sysctl", "net.ipv4.ip_forward"}), HasSubstr("= 0"));
    EXPECT_THAT(open().remove("bulkhead"), IsError(ErrorCode::FailedPrecondition));
    shell("ip link delete bulkhead0");
  }
}

TEST_F(NetworksTest, OursWithoutItsAddressIsKnownByItsMacAddress) {
  ASSERT_THAT(open().attach("bulkhead", "one"), IsOk());
  ASSERT_THAT(open().detach("one"), IsOk());
  shell("ip addr flush dev bulkhead0");
  const auto other = open("other").attach("bulkhead", "two");
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(other->gateway, "10.79.0.1");
}

TEST_F(NetworksTest, RemovalTakesEverythingAndTheNextOneMakesItAgain) {
  const auto everything = [] {
    return output_of({"ip", "-o", "link"}) + output_of({"nft", "list", "ruleset"}) +
           output_of({"sysctl", "net.ipv4.ip_forward"});
  };
  shell("sysctl -qw net.ipv4.ip_forward=0");
  const std::string before = everything();
  EXPECT_THAT(open().remove("bulkhead"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(open().remove("nowhere"), IsError(ErrorCode::NotFound));
  for (int round = 0; round < 2; ++round) {
    {
      Networks networks = open();
      ASSERT_THAT(networks.attach("bulkhead", "0123456789abcdef"), IsOk());
      EXPECT_THAT(networks.leases("bulkhead"), IsOkAnd(SizeIs(1)));
      const auto refused = networks.remove("bulkhead");
      ASSERT_THAT(refused, IsError(ErrorCode::FailedPrecondition));
      EXPECT_THAT(refused.error().message(), HasSubstr("0123456789ab:"));
      EXPECT_THAT(networks.detach("0123456789abcdef"), IsOk());
    }
    EXPECT_THAT(open().remove("bulkhead"), IsOk());
    EXPECT_EQ(everything(), before);
    EXPECT_THAT(open().list(), IsOkAnd(IsEmpty()));
  }
}

TEST_F(NetworksTest, OneThatAnotherRunDirectoryUsesStays) {
  Networks other = open("other");
  const auto guest = other.attach("bulkhead", "theirs");
  ASSERT_THAT(guest, IsOk());
  const auto refused = open().remove("bulkhead");
  ASSERT_THAT(refused, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(refused.error().message(), HasSubstr(guest->interface));
}

TEST_F(NetworksTest, RemovalBesideStartsHarmsNobody) {
  // A thread with a connection of its own is what another process is.
  std::atomic<int> removals = 0;
  std::jthread remover([&](const std::stop_token& stop) {
    Networks networks = open("remover");
    while (!stop.stop_requested()) {
      const auto removed = networks.remove("bulkhead");
      removals += removed ? 1 : 0;
      EXPECT_TRUE(removed || removed.error().code() == ErrorCode::FailedPrecondition ||
                  removed.error().code() == ErrorCode::NotFound)
          << removed.error().message();
    }
  });
  Networks networks = open();
  for (int i = 0; i < 30; ++i) {
    const auto attachment = networks.attach("bulkhead", "one");
    ASSERT_THAT(attachment, IsOk());
    // A removal that came between is undone.
    shell("for i in $(seq 100); do ip -o link show master bulkhead0 2>/dev/null | grep -q " +
          attachment->interface + " && exit; sleep 0.05; done; exit 1");
    ASSERT_THAT(networks.detach("one"), IsOk());
  }
  remover.request_stop();
  remover.join();
  EXPECT_GT(removals, 0);
}

TEST_F(NetworksTest, ForwardingStaysOnWhereOthersForward) {
  const auto forwarding = [] { return output_of({"sysctl", "-n", "net.ipv4.ip_forward"}); };
  const auto use_and_remove = [this] {
    ASSERT_THAT(open().attach("bulkhead", "one"), IsOk());
    ASSERT_THAT(open().detach("one"), IsOk());
    ASSERT_THAT(open().remove("bulkhead"), IsOk());
  };
  shell("sysctl -qw net.ipv4.ip_forward=1");
  use_and_remove();
  EXPECT_EQ(forwarding(), "1\n") << "it was on before";
  shell("sysctl -qw net.ipv4.ip_forward=0");
  shell(
      "nft add table ip filter; "
      "nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'");
  const std::string rules = output_of({"nft", "list", "ruleset"});
  use_and_remove();
  EXPECT_EQ(forwarding(), "1\n") << "who made the chain may need it";
  EXPECT_EQ(output_of({"nft", "list", "ruleset"}), rules);
}

TEST_F(NetworksTest, WithoutRightsItIsSaidWhatToDo) {
  ASSERT_THAT(open().list(), IsOk());
  shell("chmod 755 " + directory_ + "; chmod -R a+rwX " + directory_ + "/run");
  const pid_t child = ::fork();
  if (child == 0) {
    const bool dropped =
        ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
    const auto attached = open().attach("bulkhead", "one");
    const bool good = dropped && !attached &&
                      attached.error().code() == ErrorCode::PermissionDenied &&
                      attached.error().message().contains("needs root");
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(NetworksTest, AUsedSubnetIsAvoided) {
  shell("ip addr add 10.79.5.1/24 dev lo");
  Networks networks = open();
  const auto one = networks.attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->address, "10.80.0.2");
}

TEST_F(NetworksTest, ThereIsANetworkUnderAVpn) {
  shell(
      "ip link add up0 type bridge; ip addr add 192.0.2.2/24 dev up0; ip link set up0 up;"
      "ip route add 0.0.0.0/1 via 192.0.2.1; ip route add 128.0.0.0/1 via 192.0.2.1;"
      "ip route add 10.0.0.0/8 via 192.0.2.1");
  const auto one = open().attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->address, "172.16.0.2");
  EXPECT_EQ(one->interface, "bhac100002");
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(NetworksTest, AHiddenRouteIsWarnedOf) {
  shell(
      "ip link add up0 type bridge; ip addr add 192.0.2.2/24 dev up0; ip link set up0 up;"
      "for net in 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16; do ip route add $net via 192.0.2.1; "
      "done");
  const auto one = open().attach("bulkhead", "one");
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->address, "10.79.0.2");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("10.79.0.0/16")));
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
  ASSERT_THAT(install_firewall("bulkhead0", netlink::IpPrefix::parse("10.79.0.0/16").value(), {}),
              IsOk());
  ASSERT_THAT(remove_firewall(), IsOk());
  EXPECT_EQ(output_of({"nft", "list", "ruleset"}), "");
  EXPECT_THAT(remove_firewall(), IsOk());
}

}  // namespace
}  // namespace bulkhead::network
