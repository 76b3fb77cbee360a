#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/netlink/address.h"
#include "bulkhead/network/firewall.h"

namespace bulkhead::network {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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
