// One datagram as the kernel might send it: messages, their attributes to some depth, and what an
// error message says. Every view must lie within its message, and attributes that were parsed must
// be parsed the same when they are written again.
#include <linux/netlink.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/netlink/message.h"

namespace {

using bulkhead::Bytes;
using bulkhead::netlink::Attribute;
using bulkhead::netlink::Message;
using bulkhead::netlink::MessageBuilder;

constexpr int kDeepest = 4;

bool lies_within(Bytes inner, Bytes outer) {
  return inner.data() >= outer.data() && inner.data() + inner.size() <= outer.data() + outer.size();
}

void write_again(const std::vector<Attribute>& attributes) {
  MessageBuilder builder(0, 0);
  for (const Attribute& attribute : attributes) {
    builder.attribute(attribute.type, attribute.value);
  }
  const auto again =
      bulkhead::netlink::parse_attributes(builder.finish(1).subspan(sizeof(nlmsghdr)));
  BH_CHECK(again.has_value());
  BH_CHECK(again->size() == attributes.size());
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    BH_CHECK((*again)[i].type == attributes[i].type);
    BH_CHECK(std::ranges::equal((*again)[i].value, attributes[i].value));
  }
}

void read_attributes(Bytes bytes, int depth) {
  const auto attributes = bulkhead::netlink::parse_attributes(bytes);
  if (!attributes) {
    return;
  }
  for (const Attribute& attribute : *attributes) {
    BH_CHECK(lies_within(attribute.value, bytes));
    BH_CHECK(attribute.text().size() <= attribute.value.size());
    BH_CHECK(attribute.as<std::uint32_t>().has_value() == (attribute.value.size() == 4));
    for (const std::uint8_t length : {std::uint8_t{24}, std::uint8_t{128}}) {
      if (const auto prefix = bulkhead::netlink::IpPrefix::from_bytes(attribute.value, length)) {
        const auto parsed = bulkhead::netlink::IpPrefix::parse(prefix->text());
        BH_CHECK(parsed.has_value() && *parsed == *prefix);
      }
    }
    BH_CHECK(bulkhead::netlink::find(*attributes, attribute.type) != nullptr);
    if (depth < kDeepest) {
      read_attributes(attribute.value, depth + 1);
    }
  }
  write_again(*attributes);
}

void read_error(const Message& message) {
  const auto error = message.body<std::int32_t>();
  for (const auto& result : {bulkhead::netlink::parse_acknowledgement(message, "fuzz"),
                             bulkhead::netlink::parse_end_of_list(message, "fuzz")}) {
    BH_CHECK(!result.has_value() || (error && *error == 0));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  const Bytes bytes = std::as_bytes(std::span(data, size));
  const auto messages = bulkhead::netlink::parse_messages(bytes);
  if (messages) {
    for (const Message& message : *messages) {
      // Behind no fixed structure and behind those of nfnetlink, addresses, routes and links.
      for (const std::size_t body : {0U, 4U, 8U, 12U, 16U}) {
        const auto attributes = message.attributes(body);
        BH_CHECK(message.payload.size() >= body || (attributes && attributes->empty()));
      }
      for (const std::size_t body : {4U, 8U, 12U, 16U}) {
        if (message.payload.size() >= body) {
          read_attributes(Bytes(message.payload).subspan(body), 0);
        }
      }
      read_error(message);
    }
  }
  read_attributes(bytes, 0);
  return 0;
}
