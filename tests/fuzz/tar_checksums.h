#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"

// Hostile tar streams with right checksums. A reader stops at the first header whose checksum is
// wrong, and hardly any mutation makes one that is right: without this all of them end there.

namespace bulkhead::fuzz {

inline constexpr std::size_t kTarBlock = 512;

/// What a header's size field says, octal or in base 256; absent: neither.
inline std::optional<std::uint64_t> tar_size(std::span<const std::byte, kTarBlock> header) {
  const auto field = header.subspan<124, 12>();
  std::uint64_t size = 0;
  if ((field[0] & std::byte{0x80}) != std::byte{0}) {
    for (const std::byte digit : field.last<8>()) {
      size = size << 8U | std::to_integer<std::uint64_t>(digit);
    }
    return size;
  }
  bool any = false;
  for (const std::byte character : field) {
    const auto digit = std::to_integer<std::uint8_t>(character);
    if (digit >= '0' && digit <= '7') {
      size = size * 8 + (digit - '0');
      any = true;
    } else if (any) {
      break;
    }
  }
  return any ? std::optional(size) : std::nullopt;
}

inline void fix_tar_checksum(std::span<std::byte, kTarBlock> header) {
  const auto field = header.subspan<148, 8>();
  std::ranges::fill(field, std::byte{' '});
  std::uint32_t sum = 0;
  for (const std::byte byte : header) {
    sum += std::to_integer<std::uint32_t>(byte);
  }
  std::array<char, 8> text{};
  fmt::format_to_n(text.begin(), 7, "{:06o}", sum);
  text[7] = ' ';
  std::ranges::copy(std::as_bytes(std::span(text)), field.begin());
}

/// The stream with a right checksum in each header. A header is taken to follow the content of the
/// one before it if that is there in full, else the block that says so. One length in eight stays
/// as it is, so that wrong checksums are tried too.
inline std::vector<std::byte> with_tar_checksums(Bytes stream) {
  std::vector<std::byte> fixed(stream.begin(), stream.end());
  if (fixed.size() % 8 == 7) {
    return fixed;
  }
  std::size_t at = 0;
  while (fixed.size() - at >= kTarBlock) {
    const std::span<std::byte, kTarBlock> header(fixed.data() + at, kTarBlock);
    at += kTarBlock;
    // Blocks of zeros end the stream.
    if (std::ranges::all_of(header, [](std::byte byte) { return byte == std::byte{0}; })) {
      continue;
    }
    fix_tar_checksum(header);
    const std::uint64_t size = tar_size(header).value_or(0);
    // Links, devices and directories (1 to 6) have none, whatever they say.
    const auto type = std::to_integer<char>(header[156]);
    const bool has_content = type < '1' || type > '6';
    if (has_content && size <= fixed.size() - at) {
      const std::size_t blocks = (static_cast<std::size_t>(size) + kTarBlock - 1) / kTarBlock;
      at = std::min(fixed.size(), at + blocks * kTarBlock);
    }
  }
  return fixed;
}

}  // namespace bulkhead::fuzz
