#include "bulkhead/netlink/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::netlink {

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  const std::string address(text.substr(0, slash));
  IpPrefix prefix;
  std::uint8_t longest = 0;
  if (::inet_pton(AF_INET, address.c_str(), prefix.bytes_.data()) == 1) {
    prefix.family_ = AF_INET;
    longest = 32;
  } else if (::inet_pton(AF_INET6, address.c_str(), prefix.bytes_.data()) == 1) {
    prefix.family_ = AF_INET6;
    longest = 128;
  } else {
    return fail(ErrorCode::Invalid, "address {}: neither IPv4 nor IPv6", quote(text));
  }
  prefix.length_ = longest;
  if (slash != std::string_view::npos) {
    const auto length = parse_decimal<std::uint8_t>(text.substr(slash + 1));
    if (!length || *length > longest) {
      return fail(ErrorCode::Invalid, "address {}: the prefix is not from 0 to {}", quote(text),
                  longest);
    }
    prefix.length_ = *length;
  }
  return prefix;
}

IpPrefix IpPrefix::from_ipv4(std::uint32_t address, std::uint8_t length) {
  IpPrefix prefix;
  prefix.family_ = AF_INET;
  prefix.length_ = length;
  const be32 network_order = address;
  std::memcpy(prefix.bytes_.data(), &network_order, sizeof network_order);
  return prefix;
}

Result<IpPrefix> IpPrefix::from_bytes(Bytes address, std::uint8_t length) {
  if ((address.size() != 4 && address.size() != 16) || length > address.size() * 8) {
    return fail(ErrorCode::Invalid, "address of {} bytes with a prefix of {}", address.size(),
                length);
  }
  IpPrefix prefix;
  prefix.family_ = address.size() == 4 ? AF_INET : AF_INET6;
  prefix.length_ = length;
  std::ranges::copy(address, prefix.bytes_.begin());
  return prefix;
}

Bytes IpPrefix::address() const { return Bytes(bytes_).first(family_ == AF_INET ? 4 : 16); }

std::uint32_t IpPrefix::ipv4() const {
  BH_CHECK(family_ == AF_INET);
  be32 network_order;
  std::memcpy(&network_order, bytes_.data(), sizeof network_order);
  return network_order;
}

bool IpPrefix::overlaps(const IpPrefix& other) const {
  if (family_ != other.family_) {
    return false;
  }
  const unsigned common = std::min(length_, other.length_);
  for (unsigned bit = 0; bit < common; ++bit) {
    const auto mask = std::byte{0x80} >> (bit % 8);
    if ((bytes_.at(bit / 8) & mask) != (other.bytes_.at(bit / 8) & mask)) {
      return false;
    }
  }
  return true;
}

std::string IpPrefix::address_text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family_, bytes_.data(), text.data(), text.size());
  return {text.data()};
}

std::string IpPrefix::text() const { return fmt::format("{}/{}", address_text(), length_); }

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  const auto pieces = split(text, ':');
  bool good = pieces.size() == mac.size();
  for (std::size_t i = 0; good && i < mac.size(); ++i) {
    const std::string_view piece = pieces[i];
    const auto [end, error] =
        std::from_chars(piece.data(), piece.data() + piece.size(), mac.at(i), 16);
    good = piece.size() == 2 && error == std::errc() && end == piece.data() + piece.size();
  }
  if (!good) {
    return fail(ErrorCode::Invalid, "MAC address {}: not six pairs of hex digits", quote(text));
  }
  return mac;
}

std::string format_mac(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

}  // namespace bulkhead::netlink
