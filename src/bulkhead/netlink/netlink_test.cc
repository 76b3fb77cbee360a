#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/nftables.h"
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

/// A message as it would come, with what `builder` holds as its payload.
Message message_of(std::uint16_t type, MessageBuilder builder) {
  const Bytes payload = builder.finish(0).subspan(sizeof(nlmsghdr));
  return {.type = type, .flags = 0, .sequence = 0, .payload = {payload.begin(), payload.end()}};
}

Message acknowledgement(std::int32_t number) {
  MessageBuilder builder(0, 0);
  builder.body(nlmsgerr{.error = number, .msg = {}});
  return message_of(NLMSG_ERROR, std::move(builder));
}

TEST(Message, AnAcknowledgementHasAnErrorNumberOfTheKernel) {
  EXPECT_THAT(parse_acknowledgement(acknowledgement(0), "call"), IsOk());
  EXPECT_THAT(parse_acknowledgement(acknowledgement(-EEXIST), "call"),
              IsError(ErrorCode::AlreadyExists));
  for (const std::int32_t odd : {1, -4096, std::numeric_limits<std::int32_t>::min()}) {
    EXPECT_THAT(parse_acknowledgement(acknowledgement(odd), "call"), IsError(ErrorCode::Corrupt));
  }
}

TEST(Message, AListThatEndsWithAnErrorIsNotWhole) {
  const auto done = [](std::int32_t number) {
    MessageBuilder builder(0, 0);
    builder.body(number);
    return message_of(NLMSG_DONE, std::move(builder));
  };
  EXPECT_THAT(parse_end_of_list(done(0), "list"), IsOk());
  EXPECT_THAT(parse_end_of_list(done(-EPERM), "list"), IsError(ErrorCode::PermissionDenied));
  EXPECT_THAT(parse_end_of_list(done(std::numeric_limits<std::int32_t>::min()), "list"),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(parse_end_of_list({.type = NLMSG_DONE, .payload = {}}, "list"),
              IsError(ErrorCode::Corrupt));
}

TEST(Message, ARequestIsMarkedWhenItIsSent) {
  MessageBuilder message(RTM_GETLINK, 0);
  EXPECT_EQ(to_hex(message.finish(1, NLM_F_ACK)),
            "10000000"
            "1200"
            "0500"
            "01000000"
            "00000000");
}

TEST(Nftables, AChainIsReadWithItsHookAndPolicy) {
  MessageBuilder builder(0, 0);
  builder.body(nfgenmsg{.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0, .res_id = 0})
      .text(NFTA_CHAIN_TABLE, "filter")
      .text(NFTA_CHAIN_NAME, "FORWARD")
      .nested(NFTA_CHAIN_HOOK,
              [](MessageBuilder& hook) {
                hook.attribute(NFTA_HOOK_HOOKNUM, object_bytes(be32(NF_INET_FORWARD)));
              })
      .attribute(NFTA_CHAIN_POLICY, object_bytes(be32(NF_DROP)));
  const auto chain = parse_chain(message_of(NFT_MSG_NEWCHAIN, std::move(builder)));
  ASSERT_THAT(chain, IsOk());
  EXPECT_EQ(chain->family, NFPROTO_IPV4);
  EXPECT_EQ(chain->table, "filter");
  EXPECT_EQ(chain->name, "FORWARD");
  EXPECT_EQ(chain->hook, NF_INET_FORWARD);
  EXPECT_EQ(chain->policy, ChainPolicy::Drop);
  EXPECT_THAT(parse_chain({.type = NFT_MSG_NEWCHAIN, .payload = {}}), IsError(ErrorCode::Corrupt));
}

TEST(Nftables, ARuleThatAcceptsByInterfaceIsKnown) {
  struct Parts {
    std::uint32_t key = NFT_META_IIFNAME;
    std::uint32_t operation = NFT_CMP_EQ;
    std::uint32_t verdict = NF_ACCEPT;
    const char* also = "counter";
  };

  const auto rule_of = [](const Parts& parts) {
    const auto expression = [](MessageBuilder& list, const char* name,
                               const std::function<void(MessageBuilder&)>& data) {
      list.nested(NFTA_LIST_ELEM, [&](MessageBuilder& element) {
        element.text(NFTA_EXPR_NAME, name).nested(NFTA_EXPR_DATA, data);
      });
    };
    MessageBuilder builder(0, 0);
    builder.body(nfgenmsg{}).attribute(NFTA_RULE_HANDLE, object_bytes(be64(std::uint64_t{7})));
    builder.nested(NFTA_RULE_EXPRESSIONS, [&](MessageBuilder& list) {
      expression(list, "meta", [&](MessageBuilder& data) {
        data.attribute(NFTA_META_KEY, object_bytes(be32(parts.key)));
      });
      expression(list, "cmp", [&](MessageBuilder& data) {
        data.attribute(NFTA_CMP_OP, object_bytes(be32(parts.operation)))
            .nested(NFTA_CMP_DATA,
                    [](MessageBuilder& value) { value.text(NFTA_DATA_VALUE, "br0"); });
      });
      expression(list, parts.also, [](MessageBuilder&) {});
      expression(list, "immediate", [&](MessageBuilder& data) {
        data.nested(NFTA_IMMEDIATE_DATA, [&](MessageBuilder& value) {
          value.nested(NFTA_DATA_VERDICT, [&](MessageBuilder& verdict) {
            verdict.attribute(NFTA_VERDICT_CODE, object_bytes(be32(parts.verdict)));
          });
        });
      });
    });
    const auto rule = parse_rule(message_of(NFT_MSG_NEWRULE, std::move(builder)));
    EXPECT_EQ(rule->handle, 7U);
    return rule->accepted_input + "/" + rule->accepted_output;
  };
  EXPECT_EQ(rule_of({}), "br0/");
  EXPECT_EQ(rule_of({.key = NFT_META_OIFNAME}), "/br0");
  EXPECT_EQ(rule_of({.key = NFT_META_IIF}), "/");
  EXPECT_EQ(rule_of({.operation = NFT_CMP_NEQ}), "/");
  EXPECT_EQ(rule_of({.verdict = NF_DROP}), "/");
  EXPECT_EQ(rule_of({.also = "payload"}), "/");
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
