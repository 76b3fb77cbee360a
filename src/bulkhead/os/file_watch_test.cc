#include "bulkhead/os/file_watch.h"

#include <unistd.h>

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

using std::chrono::milliseconds;

TEST(FileWatch, TellsOfARenameAndOfARemovalAndOfNothingElse) {
  const std::string path = ::testing::TempDir() + "file-watch-" + std::to_string(::getpid());
  EXPECT_THAT(watch_removal(path), IsError(ErrorCode::NotFound));
  ASSERT_THAT(write_file_atomically(path, "one"), IsOk());
  auto watch = watch_removal(path);
  ASSERT_THAT(watch, IsOk());
  ASSERT_THAT(read_file(path), IsOk());
  EXPECT_THAT(wait_readable(watch->get(), milliseconds(0)), IsOkAnd(false));
  ASSERT_THAT(rename_path(path, path + ".next"), IsOk());
  EXPECT_THAT(wait_readable(watch->get(), milliseconds(1000)), IsOkAnd(true));
  watch = watch_removal(path + ".next");
  ASSERT_THAT(watch, IsOk());
  ASSERT_THAT(remove_file(path + ".next"), IsOk());
  EXPECT_THAT(wait_readable(watch->get(), milliseconds(1000)), IsOkAnd(true));
}

}  // namespace
}  // namespace bulkhead::os
