#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/netlink/address.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/network/guest.h"
#include "bulkhead/network/subnet.h"

namespace bulkhead::network {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Firewall, RulesNameSubnetsAndGuests) {
  const auto subnet = netlink::IpPrefix::parse("10.79.0.0/16").value();
  const std::string rules = firewall_rules("bulkhead0", subnet, {guest_of(0x0a4f0002)});
  EXPECT_THAT(rules, HasSubstr("guests { \"bh0a4f0002\" . 02:00:0a:4f:00:02 . 10.79.0.2 }"));
  EXPECT_THAT(rules, HasSubstr("subnets { 10.79.0.0/16 }"));
  EXPECT_THAT(firewall_rules("bulkhead0", subnet, {}), Not(HasSubstr("bulkhead guests {")));
}

TEST(Guest, TheInterfacesNameSaysTheAddress) {
  const Guest guest = guest_of(0x0a4f0002);
  EXPECT_EQ(guest.interface, "bh0a4f0002");
  EXPECT_EQ(netlink::format_mac(guest.mac), "02:00:0a:4f:00:02");
  EXPECT_EQ(guest.address.text(), "10.79.0.2/32");
  EXPECT_EQ(address_of_interface(guest.interface), 0x0a4f0002U);
  for (const char* other : {"", "bh", "bulkhead0", "bh0a4f000", "bh0a4f00022", "bh0A4F0002",
                            "bh0a4f00g2", "bh-a4f0002", "xx0a4f0002"}) {
    EXPECT_EQ(address_of_interface(other), std::nullopt) << other;
  }
}

TEST(Guest, AMacAddressSaysTheAddress) {
  EXPECT_EQ(address_of_mac(mac_of(0x0a4f0001)), 0x0a4f0001U);
  EXPECT_EQ(address_of_mac({0x02, 0x01, 0x0a, 0x4f, 0x00, 0x01}), std::nullopt);
  EXPECT_EQ(address_of_mac({0x52, 0x54, 0x00, 0x12, 0x34, 0x56}), std::nullopt);
}

TEST(Subnet, IsKnownByItsFirstAddress) {
  EXPECT_EQ(gateway_with(0x0a4f0001)->text(), "10.79.0.1/16");
  EXPECT_EQ(gateway_with(0xc0a81001)->text(), "192.168.16.1/20");
  for (const std::uint32_t other : {0x0a4f0002U, 0x0a4e0001U, 0xc0a80101U, 0U}) {
    EXPECT_EQ(gateway_with(other), std::nullopt);
  }
}

std::vector<netlink::IpPrefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<netlink::IpPrefix> list;
  for (const char* text : texts) {
    list.push_back(netlink::IpPrefix::parse(text).value());
  }
  return list;
}

/// "10.79.0.0/16", with "!" behind it when it hides a route.
std::string chosen(std::initializer_list<const char*> addresses,
                   std::initializer_list<const char*> routes) {
  const auto choice = choose_subnet(prefixes(addresses), prefixes(routes));
  return choice ? choice->subnet.text() + (choice->hides_a_route ? "!" : "") : "none";
}

TEST(Subnet, IsTheFirstThatNothingUses) {
  EXPECT_EQ(chosen({"192.0.2.2/24"}, {"192.0.2.0/24"}), "10.79.0.0/16");
  EXPECT_EQ(chosen({"10.79.5.1/24"}, {}), "10.80.0.0/16");
  EXPECT_EQ(chosen({}, {"10.79.5.0/24", "10.80.0.0/15"}), "10.82.0.0/16");
  EXPECT_EQ(chosen({}, {"fd00::/8"}), "10.79.0.0/16");
}

TEST(Subnet, IsFoundUnderVpns) {
  EXPECT_EQ(chosen({"10.8.0.2/24"}, {"0.0.0.0/1", "128.0.0.0/1", "10.8.0.0/24"}), "10.79.0.0/16");
  EXPECT_EQ(chosen({"10.8.0.2/24"}, {"10.0.0.0/8"}), "172.16.0.0/16");
  EXPECT_EQ(chosen({}, {"10.0.0.0/8", "172.16.0.0/12"}), "192.168.0.0/20");
  EXPECT_EQ(chosen({"192.168.1.5/24"}, {"10.0.0.0/8", "172.16.0.0/12"}), "192.168.16.0/20");
}

TEST(Subnet, HidesAWiderRouteWhenNothingElseIsLeft) {
  EXPECT_EQ(chosen({}, {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}), "10.79.0.0/16!");
  EXPECT_EQ(
      chosen({"10.79.0.5/24"}, {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "10.80.0.0/16"}),
      "10.81.0.0/16!");
}

TEST(Subnet, NeverTakesTheNetworkOfAnAddress) {
  EXPECT_EQ(chosen({"10.1.2.3/8"}, {}), "172.16.0.0/16");
  EXPECT_EQ(chosen({"10.1.2.3/8", "172.16.0.1/12", "192.168.0.1/16"}, {}), "none");
}

}  // namespace
}  // namespace bulkhead::network
