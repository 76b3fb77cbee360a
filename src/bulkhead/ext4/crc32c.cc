#include "bulkhead/ext4/crc32c.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bulkhead/base/bytes.h"

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace bulkhead::ext4 {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

// Table n is for a byte with n more bytes after it.
constexpr std::array<std::array<std::uint32_t, 256>, 4> make_tables() {
  std::array<std::array<std::uint32_t, 256>, 4> tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0);
    }
    tables[0][i] = value;
  }
  for (std::size_t table = 1; table < tables.size(); ++table) {
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t before = tables[table - 1][i];
      tables[table][i] = (before >> 8U) ^ tables[0][before & 0xffU];
    }
  }
  return tables;
}

constexpr auto kTables = make_tables();

#ifdef __x86_64__
__attribute__((target("sse4.2"))) std::uint32_t crc32c_instruction(std::uint32_t seed, Bytes data) {
  std::uint64_t value = seed;
  const std::byte* at = data.data();
  std::size_t rest = data.size();
  for (; rest >= 8; rest -= 8, at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    value = _mm_crc32_u64(value, word);
  }
  auto narrow = static_cast<std::uint32_t>(value);
  for (; rest > 0; --rest, ++at) {
    narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(*at));
  }
  return narrow;
}
#endif

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t seed, Bytes data) {
  std::size_t at = 0;
  for (; data.size() - at >= 4; at += 4) {
    le32 word;
    std::memcpy(&word, data.data() + at, sizeof word);
    seed ^= word;
    seed = kTables[3][seed & 0xffU] ^ kTables[2][(seed >> 8U) & 0xffU] ^
           kTables[1][(seed >> 16U) & 0xffU] ^ kTables[0][seed >> 24U];
  }
  for (; at < data.size(); ++at) {
    seed = (seed >> 8U) ^ kTables[0][(seed ^ static_cast<std::uint32_t>(data[at])) & 0xffU];
  }
  return seed;
}

std::uint32_t crc32c(std::uint32_t seed, Bytes data) {
#ifdef __x86_64__
  static const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
  if (kHasInstruction) {
    return crc32c_instruction(seed, data);
  }
#endif
  return crc32c_portable(seed, data);
}

}  // namespace bulkhead::ext4
