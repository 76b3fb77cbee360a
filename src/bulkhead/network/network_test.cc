#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/netlink/address.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/resolver.h"

namespace bulkhead::network {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Resolver, TakesWhatMeansTheSameInAGuest) {
  const auto config = parse_resolver_config(
      "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\r\n  nameserver 2001:db8::1\n"
      "nameserver not-an-address\nsearch a.example b.example\noptions ndots:2 edns0\n");
  EXPECT_THAT(config.servers, ElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_THAT(config.searches, ElementsAre("a.example", "b.example"));
  EXPECT_THAT(config.options, ElementsAre("ndots:2", "edns0"));
  EXPECT_EQ(config.text(),
            "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\n"
            "options ndots:2 edns0\n");
}

TEST(Resolver, BoundsAndValidates) {
  std::string text;
  for (int i = 1; i < 10; ++i) {
    text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  }
  text += "search good.example bad\x01name " + std::string(300, 'x') + "\n";
  const auto config = parse_resolver_config(text);
  EXPECT_EQ(config.servers.size(), 3U);
  EXPECT_THAT(config.searches, ElementsAre("good.example"));
  EXPECT_THAT(parse_resolver_config("").servers, IsEmpty());
}

TEST(Firewall, RulesNameSubnetsAndGuests) {
  const auto subnet = netlink::IpPrefix::parse("10.79.0.0/16").value();
  const Guest guest{.interface = "bh0a4f0002",
                    .mac = netlink::parse_mac("02:00:0a:4f:00:02").value(),
                    .address = netlink::IpPrefix::parse("10.79.0.2").value()};
  EXPECT_THAT(firewall_rules({subnet}, {guest}),
              HasSubstr("elements = { \"bh0a4f0002\" . 02:00:0a:4f:00:02 . 10.79.0.2 }"));
  EXPECT_THAT(firewall_rules({subnet}, {}), Not(HasSubstr("elements")));
  EXPECT_THAT(firewall_rules({subnet}, {}), HasSubstr("ip saddr { 10.79.0.0/16 }"));
}

}  // namespace
}  // namespace bulkhead::network
