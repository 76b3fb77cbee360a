#include "bulkhead/os/file_space.h"

#include <array>
#include <cstddef>
#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/io.h"

namespace bulkhead::os {
namespace {

TEST(FileSpace, SizesAndZeroesRanges) {
  const auto file = make_memfd("test");
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT(pwrite_all(file->get(), as_bytes(std::string(12288, 'x')), 0), IsOk());
  ASSERT_THAT(set_file_size(file->get(), 1U << 20U), IsOk());
  auto space = file_space(file->get());
  ASSERT_THAT(space, IsOk());
  EXPECT_EQ(space->size, 1U << 20U);
  EXPECT_LT(space->allocated_bytes, 1U << 20U);
  ASSERT_THAT(zero_range(file->get(), 4096, 4096), IsOk());
  ASSERT_THAT(zero_range(file->get(), 0, 0), IsOk());
  std::array<std::byte, 3> bytes{};
  ASSERT_THAT(pread_exactly(file->get(), bytes, 4095), IsOk());
  EXPECT_EQ(as_text(bytes), std::string("x\0\0", 3));
  ASSERT_THAT(pread_exactly(file->get(), bytes, 8190), IsOk());
  EXPECT_EQ(as_text(bytes), std::string("\0\0x", 3));
}

}  // namespace
}  // namespace bulkhead::os
