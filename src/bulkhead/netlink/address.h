#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::netlink {

/// An IPv4 or IPv6 address with the length of its network's prefix.
class IpPrefix {
 public:
  /// "10.79.0.2/16", "fd00::1/64"; an address alone has the whole length. Errors: Invalid.
  static Result<IpPrefix> parse(std::string_view text);

  /// AF_INET or AF_INET6.
  [[nodiscard]] std::uint8_t family() const { return family_; }

  [[nodiscard]] std::uint8_t length() const { return length_; }

  /// 4 or 16 bytes, network order.
  [[nodiscard]] Bytes address() const;

  /// Of IPv4, host order.
  [[nodiscard]] std::uint32_t ipv4() const;

  /// Whether the two networks have an address in common.
  [[nodiscard]] bool overlaps(const IpPrefix& other) const;

  /// "10.79.0.2"
  [[nodiscard]] std::string address_text() const;

  /// "10.79.0.2/16"
  [[nodiscard]] std::string text() const;

  static IpPrefix from_ipv4(std::uint32_t address, std::uint8_t length);

  /// Errors: Invalid for a size that is neither 4 nor 16, or a prefix beyond it.
  static Result<IpPrefix> from_bytes(Bytes address, std::uint8_t length);

  auto operator<=>(const IpPrefix&) const = default;

 private:
  std::uint8_t family_ = 0;
  std::uint8_t length_ = 0;
  std::array<std::byte, 16> bytes_{};
};

/// Six bytes of an Ethernet address.
using MacAddress = std::array<std::uint8_t, 6>;

/// "02:00:0a:4f:00:02". Errors: Invalid.
Result<MacAddress> parse_mac(std::string_view text);
std::string format_mac(const MacAddress& mac);

}  // namespace bulkhead::netlink
