#include "bulkhead/base/memory_size.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace bulkhead {
namespace {

TEST(MemorySize, IsInPowersOf1024) {
  EXPECT_EQ(format_memory_size(0), "0 B");
  EXPECT_EQ(format_memory_size(1023), "1023 B");
  EXPECT_EQ(format_memory_size(1024), "1 KiB");
  EXPECT_EQ(format_memory_size(std::uint64_t{256} << 20U), "256 MiB");
  EXPECT_EQ(format_memory_size((std::uint64_t{1} << 30U) + (std::uint64_t{300} << 20U)),
            "1.293 GiB");
  EXPECT_EQ(format_memory_size(UINT64_MAX), "16 EiB");
}

}  // namespace
}  // namespace bulkhead
