#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace bulkhead {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// An integer as it stands on disk or on a wire: byte array, no alignment, fixed order.
template <std::unsigned_integral T, std::endian Order>
class EndianInteger {
 public:
  constexpr EndianInteger() = default;

  // NOLINTNEXTLINE(google-explicit-constructor): reads and writes like the integer it holds
  constexpr EndianInteger(T value) {
    if constexpr (Order != std::endian::native) {
      value = swap(value);
    }
    bytes_ = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  }

  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr operator T() const {
    const T value = std::bit_cast<T>(bytes_);
    return Order == std::endian::native ? value : swap(value);
  }

 private:
  static constexpr T swap(T value) {
    auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
    std::ranges::reverse(bytes);
    return std::bit_cast<T>(bytes);
  }

  std::array<std::byte, sizeof(T)> bytes_{};
};

using le16 = EndianInteger<std::uint16_t, std::endian::little>;
using le32 = EndianInteger<std::uint32_t, std::endian::little>;
using le64 = EndianInteger<std::uint64_t, std::endian::little>;
using be16 = EndianInteger<std::uint16_t, std::endian::big>;
using be32 = EndianInteger<std::uint32_t, std::endian::big>;
using be64 = EndianInteger<std::uint64_t, std::endian::big>;

inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string_view as_text(Bytes bytes) {
  // char may alias anything
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Copies all of `from` to the beginning of `to`, which has room for it; they do not overlap.
/// (std::ranges::copy of libstdc++ 12 copies byte by byte where the source is const.)
inline void copy_bytes(Bytes from, MutableBytes to) {
  if (!from.empty()) {
    std::memcpy(to.data(), from.data(), from.size());
  }
}

/// The bytes of a trivially copyable object, for writing structs of the types above.
template <class T>
  requires std::is_trivially_copyable_v<T>
Bytes object_bytes(const T& object) {
  return std::as_bytes(std::span<const T, 1>(&object, 1));
}

template <class T>
  requires std::is_trivially_copyable_v<T>
MutableBytes object_bytes(T& object) {
  return std::as_writable_bytes(std::span<T, 1>(&object, 1));
}

/// Lower-case hex digits, two for each byte.
std::string to_hex(Bytes bytes);

}  // namespace bulkhead
