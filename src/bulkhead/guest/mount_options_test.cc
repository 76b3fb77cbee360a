#include "bulkhead/guest/mount_options.h"

#include <sys/mount.h>

#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::guest {
namespace {

TEST(MountOptions, SplitsFlagsFromData) {
  const auto options =
      parse_mount_options({"nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5"});
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->flags, static_cast<unsigned long>(MS_NOSUID | MS_NOEXEC));
  EXPECT_EQ(options->propagation, 0U);
  EXPECT_EQ(options->data, "newinstance,ptmxmode=0666,gid=5");
}

TEST(MountOptions, LaterOnesWin) {
  EXPECT_EQ(parse_mount_options({"ro", "rw"})->flags, 0U);
  EXPECT_EQ(parse_mount_options({"rw", "ro"})->flags, static_cast<unsigned long>(MS_RDONLY));
  EXPECT_EQ(parse_mount_options({"noatime", "strictatime"})->flags,
            static_cast<unsigned long>(MS_STRICTATIME));
}

TEST(MountOptions, KnowsPropagationAndBind) {
  const auto options = parse_mount_options({"rbind", "rprivate", "", "defaults"});
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->flags, static_cast<unsigned long>(MS_BIND | MS_REC));
  EXPECT_EQ(options->propagation, static_cast<unsigned long>(MS_PRIVATE | MS_REC));
  EXPECT_EQ(options->data, "");
}

TEST(MountOptions, RefusesWhatWouldSmuggle) {
  EXPECT_THAT(parse_mount_options({"size=1,mode=777"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_mount_options({std::string("a\0b", 3)}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_mount_options({std::string(5000, 'a')}), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::guest
