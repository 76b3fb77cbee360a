#include "bulkhead/os/copy_range.h"

#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/io.h"

namespace bulkhead::os {
namespace {

TEST(CopyRange, CopiesAPartToAnotherPlace) {
  const auto from = make_memfd("from");
  const auto to = make_memfd("to");
  ASSERT_THAT(from, IsOk());
  ASSERT_THAT(to, IsOk());
  const std::string content = std::string(700'000, 'a') + std::string(700'000, 'b');
  ASSERT_THAT(pwrite_all(from->get(), as_bytes(content), 0), IsOk());
  ASSERT_THAT(copy_range({from->get(), 699'999, 600'000}, to->get(), 5), IsOk());
  EXPECT_THAT(read_to_end(to->get(), 1U << 20U),
              IsOkAnd(std::string(5, '\0') + "a" + std::string(599'999, 'b')));
}

TEST(CopyRange, CopiesByMemoryWhatTheKernelCannot) {
  const auto from = make_memfd("from");
  const auto to = open_file("/dev/null", 1);
  ASSERT_THAT(from, IsOk());
  ASSERT_THAT(to, IsOk());
  ASSERT_THAT(pwrite_all(from->get(), as_bytes(std::string(600'000, 'a')), 0), IsOk());
  EXPECT_THAT(copy_range({from->get(), 0, 600'000}, to->get(), 0), IsOk());
  EXPECT_THAT(copy_range({from->get(), 1, 600'000}, to->get(), 0), IsError(ErrorCode::Corrupt));
}

TEST(CopyRange, SaysThatTheSourceEndsEarly) {
  const auto from = make_memfd("from");
  const auto to = make_memfd("to");
  ASSERT_THAT(from, IsOk());
  ASSERT_THAT(to, IsOk());
  ASSERT_THAT(pwrite_all(from->get(), as_bytes("abc"), 0), IsOk());
  EXPECT_THAT(copy_range({from->get(), 1, 3}, to->get(), 0), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::os
