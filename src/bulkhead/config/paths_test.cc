#include "bulkhead/config/paths.h"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::config {
namespace {

class PathsTest : public testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("BULKHEAD_STATE_DIR");
    ::unsetenv("BULKHEAD_RUN_DIR");
  }
};

TEST_F(PathsTest, HasTheSystemDirectoriesByDefault) {
  const auto paths = Paths::from_environment();
  ASSERT_THAT(paths, IsOk());
  EXPECT_EQ(paths->state, "/var/lib/bulkhead");
  EXPECT_EQ(paths->run, "/run/bulkhead");
  EXPECT_EQ(paths->container_state("abc"), "/var/lib/bulkhead/containers/abc");
  EXPECT_EQ(paths->container_run("abc"), "/run/bulkhead/containers/abc");
}

TEST_F(PathsTest, FindsItsProgramsBesideItself) {
  const auto paths = Paths::from_environment();
  ASSERT_THAT(paths, IsOk());
  EXPECT_THAT(paths->program("bulkhead-image"), testing::EndsWith("/libexec/bulkhead-image"));
  EXPECT_THAT(paths->kernel(), testing::EndsWith("/share/bulkhead/vmlinux"));
}

TEST_F(PathsTest, TakesOverridesFromTheEnvironment) {
  ::setenv("BULKHEAD_STATE_DIR", "/tmp/state//", 1);
  ::setenv("BULKHEAD_RUN_DIR", "/tmp/run", 1);
  const auto paths = Paths::from_environment();
  ASSERT_THAT(paths, IsOk());
  EXPECT_EQ(paths->state, "/tmp/state");
  EXPECT_EQ(paths->run, "/tmp/run");
}

TEST_F(PathsTest, RejectsOverridesThatAreNotPlainAbsolutePaths) {
  for (const char* bad : {"state", "/a/../b", "/", "/a//b", "./x"}) {
    ::setenv("BULKHEAD_STATE_DIR", bad, 1);
    EXPECT_THAT(Paths::from_environment(), IsError(ErrorCode::Invalid)) << bad;
  }
}

}  // namespace
}  // namespace bulkhead::config
