#include "bulkhead/os/poll.h"

#include <fcntl.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

TEST(Poll, SeesDataAndEndOfFile) {
  auto pipe = make_pipe();
  ASSERT_THAT(pipe, IsOk());
  EXPECT_THAT(wait_readable(pipe->read_end.get(), std::chrono::milliseconds(0)), IsOkAnd(false));
  ASSERT_THAT(write_all(pipe->write_end.get(), as_bytes("x")), IsOk());
  EXPECT_THAT(wait_readable(pipe->read_end.get(), std::chrono::milliseconds(1000)), IsOkAnd(true));
  EXPECT_FALSE(is_hung_up(pipe->write_end.get()));
  pipe->read_end.reset();
  EXPECT_TRUE(is_hung_up(pipe->write_end.get()));
}

TEST(FileInfo, KnowsKindsAndFlags) {
  const auto null = file_info("/dev/null");
  ASSERT_THAT(null, IsOk());
  EXPECT_FALSE(null->is_regular());
  EXPECT_NE(null->special, 0U);
  EXPECT_THAT(file_info("/nonexistent"), IsError(ErrorCode::NotFound));

  const auto file = open_file("/proc/self/exe", O_RDONLY);
  ASSERT_THAT(file, IsOk());
  EXPECT_TRUE(file_info(file->get())->is_regular());
  EXPECT_EQ(*open_flags(file->get()) & O_ACCMODE, O_RDONLY);
}

}  // namespace
}  // namespace bulkhead::os
