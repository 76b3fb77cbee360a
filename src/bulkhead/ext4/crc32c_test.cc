#include "bulkhead/ext4/crc32c.h"

#include <cstddef>
#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"

namespace bulkhead::ext4 {
namespace {

TEST(Crc32c, KnowsTheStandardVector) {
  // RFC 3720 B.4, without the inversions.
  EXPECT_EQ(~crc32c(0xffffffff, as_bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(~crc32c_portable(0xffffffff, as_bytes("123456789")), 0xe3069283U);
}

TEST(Crc32c, IsTheSameWithAndWithoutTheInstruction) {
  std::string text;
  for (std::size_t size = 0; size < 100; ++size) {
    EXPECT_EQ(crc32c(7, as_bytes(text)), crc32c_portable(7, as_bytes(text)));
    text += static_cast<char>(size * 37);
  }
}

TEST(Crc32c, Chains) {
  EXPECT_EQ(crc32c(crc32c(1, as_bytes("ab")), as_bytes("cdefghijklm")),
            crc32c(1, as_bytes("abcdefghijklm")));
}

}  // namespace
}  // namespace bulkhead::ext4
