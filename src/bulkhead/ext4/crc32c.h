#pragma once

#include <cstdint>

#include "bulkhead/base/bytes.h"

namespace bulkhead::ext4 {

/// Where ext4 begins when nothing goes before.
inline constexpr std::uint32_t kChecksumStart = 0xffffffff;

/// CRC-32C (Castagnoli) as ext4 uses it: no inversion at the beginning or the end. Chains: the
/// result is the seed of what follows.
std::uint32_t crc32c(std::uint32_t seed, Bytes data);

/// The same without the processor's instruction, for its test.
std::uint32_t crc32c_portable(std::uint32_t seed, Bytes data);

}  // namespace bulkhead::ext4
