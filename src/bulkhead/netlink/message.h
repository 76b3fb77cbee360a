#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

// A netlink message is a header, a fixed structure that its type decides, and attributes: length,
// type, value, each padded to four bytes, nested at will. All of it is in host order except where
// an attribute says otherwise. Source: kernel Documentation/userspace-api/netlink/intro.rst.

namespace bulkhead::netlink {

/// Builds one request.
class MessageBuilder {
 public:
  /// `flags` beside NLM_F_REQUEST.
  MessageBuilder(std::uint16_t type, std::uint16_t flags);

  /// The structure behind the header; before any attribute.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  MessageBuilder& body(const T& fixed) {
    append(object_bytes(fixed));
    return *this;
  }

  MessageBuilder& attribute(std::uint16_t type, Bytes value);

  template <class T>
    requires(std::is_integral_v<T>)
  MessageBuilder& attribute(std::uint16_t type, T value) {
    return attribute(type, object_bytes(value));
  }

  /// With its terminating zero.
  MessageBuilder& text(std::uint16_t type, std::string_view value);

  /// Attributes that `fill` adds become the value of one.
  MessageBuilder& nested(std::uint16_t type, const std::function<void(MessageBuilder&)>& fill);

  /// The message, complete with its sequence number, and with `flags` beside its own.
  [[nodiscard]] Bytes finish(std::uint32_t sequence, std::uint16_t flags = 0);

 private:
  void append(Bytes bytes);

  std::vector<std::byte> buffer_;
};

struct Attribute {
  std::uint16_t type;  ///< without the nesting and byte order flags
  Bytes value;

  /// Nothing when the size is another.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> as() const {
    if (value.size() != sizeof(T)) {
      return std::nullopt;
    }
    T out{};
    std::memcpy(&out, value.data(), sizeof out);
    return out;
  }

  /// Up to the first zero.
  [[nodiscard]] std::string_view text() const;
};

/// Attributes one after another. Errors: Corrupt with the offset, for a length that leaves the
/// bytes.
Result<std::vector<Attribute>> parse_attributes(Bytes bytes);

/// The last attribute of that type; null when there is none.
const Attribute* find(const std::vector<Attribute>& attributes, std::uint16_t type);

/// One message that came.
struct Message {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint32_t sequence = 0;
  std::vector<std::byte> payload;  ///< the fixed structure and the attributes

  /// The fixed structure. Errors: Corrupt when the message is shorter.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<T> body() const {
    if (payload.size() < sizeof(T)) {
      return fail(ErrorCode::Corrupt, "netlink message {}: {} bytes are too few", type,
                  payload.size());
    }
    T out{};
    std::memcpy(&out, payload.data(), sizeof out);
    return out;
  }

  /// What follows a fixed structure of that size.
  [[nodiscard]] Result<std::vector<Attribute>> attributes(std::size_t body_size) const;
};

/// Splits what one receive brought into messages. Errors: Corrupt with the offset.
Result<std::vector<Message>> parse_messages(Bytes bytes);

/// What an NLMSG_ERROR says: nothing for an acknowledgement, else the error with the kernel's own
/// words where it gave some. `call` names the request. Errors: Corrupt for what is no error number.
Result<> parse_acknowledgement(const Message& message, std::string_view call);

/// What an NLMSG_DONE says: nothing for a list that is whole, else why it ended early.
Result<> parse_end_of_list(const Message& message, std::string_view call);

}  // namespace bulkhead::netlink
