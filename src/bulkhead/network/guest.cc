#include "bulkhead/network/guest.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/netlink/address.h"

namespace bulkhead::network {
namespace {

constexpr std::string_view kInterfacePrefix = "bh";
constexpr std::size_t kDigits = 8;

}  // namespace

netlink::MacAddress mac_of(std::uint32_t address) {
  return {0x02,
          0x00,
          static_cast<std::uint8_t>(address >> 24U),
          static_cast<std::uint8_t>(address >> 16U),
          static_cast<std::uint8_t>(address >> 8U),
          static_cast<std::uint8_t>(address)};
}

std::optional<std::uint32_t> address_of_mac(const netlink::MacAddress& mac) {
  const std::uint32_t address = (std::uint32_t{mac[2]} << 24U) | (std::uint32_t{mac[3]} << 16U) |
                                (std::uint32_t{mac[4]} << 8U) | mac[5];
  return mac_of(address) == mac ? std::optional(address) : std::nullopt;
}

Guest guest_of(std::uint32_t address) {
  return {.interface = fmt::format("{}{:08x}", kInterfacePrefix, address),
          .mac = mac_of(address),
          .address = netlink::IpPrefix::from_ipv4(address, 32)};
}

std::optional<std::uint32_t> address_of_interface(std::string_view interface) {
  if (interface.size() != kInterfacePrefix.size() + kDigits ||
      !interface.starts_with(kInterfacePrefix)) {
    return std::nullopt;
  }
  std::uint32_t address = 0;
  std::from_chars(interface.data() + kInterfacePrefix.size(), interface.data() + interface.size(),
                  address, 16);
  // One name for each address: what was read must give the same name again.
  return guest_of(address).interface == interface ? std::optional(address) : std::nullopt;
}

}  // namespace bulkhead::network
