#include "bulkhead/os/sync.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "bulkhead/base/testing.h"
#include "bulkhead/os/io.h"

namespace bulkhead::os {
namespace {

TEST(Sync, SyncsFilesAndReportsFailure) {
  const auto file = make_memfd("sync_test");
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(sync_file(file->get()), IsOk());
  const auto bad = sync_file(-1);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().os_error(), EBADF);
}

}  // namespace
}  // namespace bulkhead::os
