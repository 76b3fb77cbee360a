#include "bulkhead/netlink/message.h"

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::netlink {
namespace {

constexpr std::size_t kAlignment = 4;
constexpr std::int32_t kLargestErrorNumber = 4095;

constexpr std::size_t aligned(std::size_t size) {
  return (size + kAlignment - 1) & ~(kAlignment - 1);
}

std::uint16_t attribute_length(std::size_t size) {
  BH_CHECK(size <= std::numeric_limits<std::uint16_t>::max());
  return static_cast<std::uint16_t>(size);
}

/// The kernel says errors as -1 to -4095 (MAX_ERRNO).
Result<> check_error_number(std::int32_t number, std::string_view call) {
  if (number > 0 || number < -kLargestErrorNumber) {
    return fail(ErrorCode::Corrupt, "{}: the answer's error number is {}", call, number);
  }
  return {};
}

}  // namespace

MessageBuilder::MessageBuilder(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  append(object_bytes(header));
}

void MessageBuilder::append(Bytes bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  buffer_.resize(aligned(buffer_.size()));
}

MessageBuilder& MessageBuilder::attribute(std::uint16_t type, Bytes value) {
  const nlattr header{.nla_len = attribute_length(sizeof(nlattr) + value.size()), .nla_type = type};
  append(object_bytes(header));
  append(value);
  return *this;
}

MessageBuilder& MessageBuilder::text(std::uint16_t type, std::string_view value) {
  const std::string terminated(value);
  return attribute(type, std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
}

MessageBuilder& MessageBuilder::nested(std::uint16_t type,
                                       const std::function<void(MessageBuilder&)>& fill) {
  const std::size_t at = buffer_.size();
  append(object_bytes(nlattr{}));
  fill(*this);
  const nlattr header{.nla_len = attribute_length(buffer_.size() - at),
                      .nla_type = static_cast<std::uint16_t>(type | NLA_F_NESTED)};
  std::memcpy(buffer_.data() + at, &header, sizeof header);
  return *this;
}

Bytes MessageBuilder::finish(std::uint32_t sequence, std::uint16_t flags) {
  nlmsghdr header{};
  std::memcpy(&header, buffer_.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(buffer_.size());
  header.nlmsg_flags = static_cast<std::uint16_t>(header.nlmsg_flags | flags);
  header.nlmsg_seq = sequence;
  std::memcpy(buffer_.data(), &header, sizeof header);
  return buffer_;
}

std::string_view Attribute::text() const {
  const std::string_view all = as_text(value);
  return all.substr(0, all.find('\0'));
}

Result<std::vector<Attribute>> parse_attributes(Bytes bytes) {
  std::vector<Attribute> attributes;
  std::size_t offset = 0;
  while (bytes.size() - offset >= sizeof(nlattr)) {
    nlattr header{};
    std::memcpy(&header, bytes.data() + offset, sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > bytes.size() - offset) {
      return fail(ErrorCode::Corrupt, "netlink attribute at {}: length {} of {} bytes", offset,
                  header.nla_len, bytes.size() - offset);
    }
    attributes.push_back(
        {.type = static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
         .value = bytes.subspan(offset + sizeof header, header.nla_len - sizeof header)});
    const std::size_t step = aligned(header.nla_len);
    if (step >= bytes.size() - offset) {
      break;
    }
    offset += step;
  }
  return attributes;
}

const Attribute* find(const std::vector<Attribute>& attributes, std::uint16_t type) {
  const Attribute* found = nullptr;
  for (const Attribute& attribute : attributes) {
    if (attribute.type == type) {
      found = &attribute;
    }
  }
  return found;
}

Result<std::vector<Attribute>> Message::attributes(std::size_t body_size) const {
  const std::size_t start = aligned(body_size);
  if (payload.size() < start) {
    return std::vector<Attribute>();
  }
  return parse_attributes(Bytes(payload).subspan(start));
}

Result<std::vector<Message>> parse_messages(Bytes bytes) {
  std::vector<Message> messages;
  std::size_t offset = 0;
  while (bytes.size() - offset >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, bytes.data() + offset, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size() - offset) {
      return fail(ErrorCode::Corrupt, "netlink message at {}: length {} of {} bytes", offset,
                  header.nlmsg_len, bytes.size() - offset);
    }
    const Bytes payload = bytes.subspan(offset + sizeof header, header.nlmsg_len - sizeof header);
    messages.push_back({.type = header.nlmsg_type,
                        .flags = header.nlmsg_flags,
                        .sequence = header.nlmsg_seq,
                        .payload = {payload.begin(), payload.end()}});
    const std::size_t step = aligned(header.nlmsg_len);
    if (step >= bytes.size() - offset) {
      break;
    }
    offset += step;
  }
  return messages;
}

Result<> parse_acknowledgement(const Message& message, std::string_view call) {
  const auto error = BH_TRY(message.body<nlmsgerr>());
  BH_TRY(check_error_number(error.error, call));
  if (error.error == 0) {
    return {};
  }
  std::string what(call);
  if ((message.flags & NLM_F_ACK_TLVS) != 0) {
    // The request comes back behind the error: whole, or its header only.
    std::size_t skip = sizeof(nlmsgerr);
    if ((message.flags & NLM_F_CAPPED) == 0 && error.msg.nlmsg_len >= sizeof(nlmsghdr)) {
      skip += aligned(error.msg.nlmsg_len) - sizeof(nlmsghdr);
    }
    if (const auto attributes = message.attributes(skip)) {
      if (const Attribute* words = find(*attributes, NLMSGERR_ATTR_MSG)) {
        what += ": " + quote(words->text());
      }
    }
  }
  return Error::from_errno(-error.error, what);
}

Result<> parse_end_of_list(const Message& message, std::string_view call) {
  const auto number = BH_TRY(message.body<std::int32_t>());
  BH_TRY(check_error_number(number, call));
  if (number != 0) {
    return Error::from_errno(-number, call);
  }
  return {};
}

}  // namespace bulkhead::netlink
