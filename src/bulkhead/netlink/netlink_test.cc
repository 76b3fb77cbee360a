#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/route.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {
namespace {

using ::testing::SizeIs;

TEST(IpPrefix, ParsesBothFamilies) {
  const auto v4 = IpPrefix::parse("10.79.1.2/16");
  ASSERT_THAT(v4, IsOk());
  EXPECT_EQ(v4->text(), "10.79.1.2/16");
  EXPECT_EQ(v4->ipv4(), 0x0a4f0102U);
  EXPECT_EQ(IpPrefix::from_ipv4(0x0a4f0102U, 16), *v4);
  EXPECT_THAT(IpPrefix::parse("fd00::1/64"), IsOk());
  for (const char* bad : {"", "10.79.1", "10.79.1.2/33", "10.79.1.2/", "10.79.1.2/-1", "fd00::/129",
                          "1.2.3.4\n", "::g"}) {
    EXPECT_THAT(IpPrefix::parse(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(IpPrefix, OverlapIsByTheShorterPrefix) {
  const auto net = IpPrefix::parse("10.79.0.0/16").value();
  EXPECT_TRUE(net.overlaps(IpPrefix::parse("10.79.3.0/24").value()));
  EXPECT_TRUE(net.overlaps(IpPrefix::parse("10.0.0.0/8").value()));
  EXPECT_FALSE(net.overlaps(IpPrefix::parse("10.80.0.0/16").value()));
  EXPECT_FALSE(net.overlaps(IpPrefix::parse("fd00::/8").value()));
}

TEST(MacAddress, RoundTrips) {
  const auto mac = parse_mac("02:00:0a:4f:00:ff");
  ASSERT_THAT(mac, IsOk());
  EXPECT_EQ(format_mac(*mac), "02:00:0a:4f:00:ff");
  for (const char* bad : {"", "02:00:0a:4f:00", "02:00:0a:4f:00:0", "02:00:0a:4f:00:xx",
                          "02:00:0a:4f:00:00:00", "+2:00:0a:4f:00:00"}) {
    EXPECT_THAT(parse_mac(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(Message, HasTheBytesOfTheKernelsDocumentation) {
  MessageBuilder message(RTM_NEWLINK, NLM_F_ACK);
  message.text(3, "ab").nested(18,
                               [](MessageBuilder& info) { info.attribute(1, std::uint16_t{7}); });
  EXPECT_EQ(to_hex(message.finish(5)),
            "24000000"  // length 36
            "1000"      // RTM_NEWLINK
            "0500"      // request, acknowledge
            "05000000"  // sequence
            "00000000"
            "07000300"
            "61620000"  // "ab\0", padded
            "0c001280"
            "06000100"
            "07000000"  // nested
  );
}

TEST(Message, AttributesThatLeaveTheBytesAreCorrupt) {
  const std::vector<std::uint8_t> bytes = {8, 0, 1, 0, 1, 2, 3, 4, 9, 0, 2, 0, 1, 2, 3, 4};
  EXPECT_THAT(parse_attributes(std::as_bytes(std::span(bytes))), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(parse_attributes(std::as_bytes(std::span(bytes).first(8))), IsOkAnd(SizeIs(1)));
  const std::vector<std::uint8_t> tiny = {3, 0, 1, 0};
  EXPECT_THAT(parse_attributes(std::as_bytes(std::span(tiny))), IsError(ErrorCode::Corrupt));
}

TEST(Message, MessagesThatLeaveTheBytesAreCorrupt) {
  std::vector<std::uint8_t> bytes(16, 0);
  bytes[0] = 17;
  EXPECT_THAT(parse_messages(std::as_bytes(std::span(bytes))), IsError(ErrorCode::Corrupt));
  bytes[0] = 15;
  EXPECT_THAT(parse_messages(std::as_bytes(std::span(bytes))), IsError(ErrorCode::Corrupt));
  bytes[0] = 16;
  EXPECT_THAT(parse_messages(std::as_bytes(std::span(bytes))), IsOkAnd(SizeIs(1)));
}

/// Runs `body` in a child with a network namespace of its own. Nothing when that is not allowed.
template <class Body>
std::optional<int> in_own_namespace(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      ::_exit(77);
    }
    body();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    return std::nullopt;
  }
  return status;
}

void exercise_links() {
  auto socket = Socket::open(Protocol::Route);
  ASSERT_THAT(socket, IsOk());
  const MacAddress mac = parse_mac("02:00:0a:4f:00:01").value();
  ASSERT_THAT(create_bridge(*socket, "br0", mac), IsOk());
  EXPECT_THAT(create_bridge(*socket, "br0", mac), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(create_bridge(*socket, "a-name-too-long-for-it", mac), IsError(ErrorCode::Invalid));
  const auto bridge = find_link(*socket, "br0");
  ASSERT_THAT(bridge, IsOk());
  ASSERT_TRUE(bridge->has_value());
  EXPECT_EQ((*bridge)->kind, "bridge");
  EXPECT_EQ((*bridge)->mac, mac);
  const auto absent = find_link(*socket, "absent");
  ASSERT_THAT(absent, IsOk());
  EXPECT_FALSE(absent->has_value());

  ASSERT_THAT(create_veth(*socket, "a0", "b0"), IsOk());
  const auto veth = find_link(*socket, "a0");
  ASSERT_THAT(veth, IsOk());
  ASSERT_THAT(
      change_link(*socket, (*veth)->index,
                  {.up = true, .mtu = 1400, .name = "renamed", .controller = (*bridge)->index}),
      IsOk());
  const auto renamed = find_link(*socket, "renamed");
  ASSERT_THAT(renamed, IsOk());
  ASSERT_TRUE(renamed->has_value());
  EXPECT_EQ((*renamed)->mtu, 1400U);
  EXPECT_EQ((*renamed)->controller, (*bridge)->index);
  EXPECT_TRUE((*renamed)->is_up);

  const IpPrefix address = IpPrefix::parse("10.79.0.1/16").value();
  ASSERT_THAT(add_address(*socket, (*bridge)->index, address), IsOk());
  EXPECT_THAT(add_address(*socket, (*bridge)->index, address), IsError(ErrorCode::AlreadyExists));
  ASSERT_THAT(change_link(*socket, (*bridge)->index, {.up = true}), IsOk());
  const auto addresses = list_addresses(*socket);
  ASSERT_THAT(addresses, IsOk());
  EXPECT_TRUE(std::ranges::any_of(*addresses, [&](const InterfaceAddress& entry) {
    return entry.address == address && entry.link_index == (*bridge)->index;
  }));
  ASSERT_THAT(add_route(*socket, {.gateway = IpPrefix::parse("10.79.0.9").value()}), IsOk());
  EXPECT_FALSE(add_route(*socket, {.gateway = IpPrefix::parse("192.0.2.1").value()}).has_value());
  const auto routes = list_routes(*socket);
  ASSERT_THAT(routes, IsOk());
  EXPECT_TRUE(std::ranges::any_of(*routes, [](const Route& route) {
    return !route.destination && route.gateway && route.gateway->address_text() == "10.79.0.9";
  }));
  EXPECT_THAT(delete_link(*socket, (*bridge)->index), IsOk());
  EXPECT_THAT(delete_link(*socket, 99999), IsError(ErrorCode::NotFound));
}

TEST(Netlink, LinksAddressesAndRoutesAreAsTheKernelSays) {
  const auto status = in_own_namespace(exercise_links);
  if (!status) {
    GTEST_SKIP() << "user namespaces are not allowed here";
  }
  EXPECT_EQ(*status, 0);
}

}  // namespace
}  // namespace bulkhead::netlink
