#include "bulkhead/guest/root_path.h"

#include <cerrno>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/guest/test_root.h"

namespace bulkhead::guest {
namespace {

TEST(ResolveInRoot, WalksLinksInside) {
  const TestRoot root;
  root.directory("run");
  root.link("var/run", "/run");
  root.link("etc/resolv.conf", "../run/systemd/resolve/stub.conf");
  root.link("up", "../../../../..");
  root.link("abs", "/var/run/x");
  const auto resolve = [&](const char* path) { return *resolve_in_root(root.fd(), path); };
  EXPECT_EQ(resolve("/var/run/a/b"), "run/a/b");
  EXPECT_EQ(resolve("etc/resolv.conf"), "run/systemd/resolve/stub.conf");
  EXPECT_EQ(resolve("up/etc"), "etc");
  EXPECT_EQ(resolve("abs"), "run/x");
  EXPECT_EQ(resolve("/"), "");
  EXPECT_EQ(resolve("../../.."), "");
  EXPECT_EQ(resolve("//a/./b/../c"), "a/c");
}

TEST(ResolveInRoot, RefusesLoopsAndNonDirectories) {
  const TestRoot root;
  root.link("a", "b");
  root.link("b", "a");
  root.write("file", "");
  EXPECT_EQ(resolve_in_root(root.fd(), "a/x").error().os_error(), ELOOP);
  EXPECT_EQ(resolve_in_root(root.fd(), "file/x").error().os_error(), ENOTDIR);
  EXPECT_THAT(resolve_in_root(root.fd(), std::string("a\0b", 3)), IsError(ErrorCode::Invalid));
  EXPECT_EQ(resolve_in_root(root.fd(), std::string(5000, 'a')).error().os_error(), ENAMETOOLONG);
}

TEST(OpenOrMake, MakesWhatIsMissingInside) {
  const TestRoot root;
  root.directory("run");
  root.link("etc/resolv.conf", "/run/systemd/stub.conf");
  ASSERT_THAT(open_or_make_in_root(root.fd(), "/etc/resolv.conf", TargetKind::File), IsOk());
  EXPECT_TRUE(std::filesystem::is_regular_file(root.path("run/systemd/stub.conf")));
  ASSERT_THAT(open_or_make_in_root(root.fd(), "/a/b/c", TargetKind::Directory), IsOk());
  EXPECT_TRUE(std::filesystem::is_directory(root.path("a/b/c")));
  EXPECT_THAT(open_or_make_in_root(root.fd(), "/", TargetKind::Directory), IsOk());
}

TEST(OpenOrMake, DanglingLinkToTheOutsideStaysInside) {
  const TestRoot root;
  root.link("etc/hosts", "../../../../tmp/bulkhead-probe");
  ASSERT_THAT(open_or_make_in_root(root.fd(), "/etc/hosts", TargetKind::File), IsOk());
  EXPECT_TRUE(std::filesystem::exists(root.path("tmp/bulkhead-probe")));
  EXPECT_FALSE(std::filesystem::exists("/tmp/bulkhead-probe"));
}

TEST(OpenOrMake, TellsWhenTheImageHasTheOtherKind) {
  const TestRoot root;
  root.directory("etc/hosts");
  root.write("proc", "");
  root.fifo("etc/hostname");
  EXPECT_THAT(open_or_make_in_root(root.fd(), "/etc/hosts", TargetKind::File),
              IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(open_or_make_in_root(root.fd(), "/proc", TargetKind::Directory),
              IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(open_or_make_in_root(root.fd(), "/etc/hostname", TargetKind::File), IsOk());
  EXPECT_FALSE(open_or_make_in_root(root.fd(), "/proc/x", TargetKind::Directory).has_value());
}

}  // namespace
}  // namespace bulkhead::guest
