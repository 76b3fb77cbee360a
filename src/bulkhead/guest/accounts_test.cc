#include "bulkhead/guest/accounts.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/guest/test_root.h"

namespace bulkhead::guest {
namespace {

using ::testing::ElementsAre;

constexpr const char* kPasswdText =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment\n"
    "redis:x:999:998::/var/lib/redis:/bin/false\n"
    "1000:x:77:77::/odd:/bin/sh\n"
    "bare:x:12:13\n"
    "huge:x:4294967296:0::/huge:/bin/sh\n"
    "negative:x:-1:0::/n:/bin/sh\n"
    "hex:x:0x0:0::/h:/bin/sh\n"
    "badgroup:x:5:x::/b:/bin/sh\n"
    "broken line\n";
constexpr const char* kGroupText =
    "root:x:0:\naudio:x:29:redis,bare\nvideo:x:44:redis\nwheel:x:10:root\n"
    "toobig:x:99999999999:\nredis:x:998:redis\n";

class Accounts : public ::testing::Test {
 protected:
  Accounts() {
    root_.write("etc/passwd", kPasswdText);
    root_.write("etc/group", kGroupText);
  }

  TestRoot root_;
};

TEST_F(Accounts, EmptyMeansRoot) {
  const auto identity = resolve_identity(root_.fd(), "");
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->user, 0U);
  EXPECT_EQ(identity->group, 0U);
  EXPECT_THAT(identity->groups, ElementsAre(0, 10));
  EXPECT_EQ(identity->home, "/root");
}

TEST_F(Accounts, NameGivesItsGroupsAndHome) {
  const auto identity = resolve_identity(root_.fd(), "redis");
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->user, 999U);
  EXPECT_EQ(identity->group, 998U);
  EXPECT_THAT(identity->groups, ElementsAre(998, 29, 44));
  EXPECT_EQ(identity->home, "/var/lib/redis");
}

TEST_F(Accounts, GroupInTheTextReplacesAllOthers) {
  const auto identity = resolve_identity(root_.fd(), "redis:audio");
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->group, 29U);
  EXPECT_THAT(identity->groups, ElementsAre(29));
  EXPECT_EQ(resolve_identity(root_.fd(), "0:4242")->group, 4242U);
}

TEST_F(Accounts, NumberNeedsNoEntry) {
  const auto identity = resolve_identity(root_.fd(), "4711");
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->user, 4711U);
  EXPECT_EQ(identity->group, 0U);
  EXPECT_EQ(identity->home, "/");
}

TEST_F(Accounts, NumberWithEntryGetsItsGroupAndHome) {
  const auto identity = resolve_identity(root_.fd(), "999");
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->group, 998U);
  EXPECT_EQ(identity->home, "/var/lib/redis");
}

TEST_F(Accounts, NameOfDigitsIsAName) {
  EXPECT_EQ(resolve_identity(root_.fd(), "1000")->user, 77U);
}

TEST_F(Accounts, EntryMayEndAfterTheGroup) {
  EXPECT_EQ(resolve_identity(root_.fd(), "bare")->user, 12U);
}

TEST_F(Accounts, NothingBecomesRootByAccident) {
  for (const char* text : {"-1", "4294967296", "4294967295", "2147483648", "root:999999999999",
                           "root:-1", "+0", "99999999999999999999999"}) {
    EXPECT_THAT(resolve_identity(root_.fd(), text), IsError(ErrorCode::Invalid)) << text;
  }
  for (const char* text :
       {"0x0", "nobody", "../../x", "root\n", " root", "redis:none", "0 ", "00x"}) {
    EXPECT_THAT(resolve_identity(root_.fd(), text), IsError(ErrorCode::NotFound)) << text;
  }
  for (const char* text : {"huge", "negative", "hex", "badgroup", "root:toobig"}) {
    EXPECT_THAT(resolve_identity(root_.fd(), text), IsError(ErrorCode::Invalid)) << text;
  }
}

TEST_F(Accounts, NumericIdentityTakesHomeFromTheEntry) {
  const auto identity = numeric_identity(root_.fd(), 999, 5, {7, 8});
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->home, "/var/lib/redis");
  EXPECT_EQ(identity->group, 5U);
  EXPECT_THAT(identity->groups, ElementsAre(7, 8));
  EXPECT_THAT(numeric_identity(root_.fd(), 0xffffffff, 0, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(numeric_identity(root_.fd(), 0, 0xffffffff, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(numeric_identity(root_.fd(), 0, 0, {0xffffffff}), IsError(ErrorCode::Invalid));
}

TEST(AccountFiles, MayBeMissing) {
  const TestRoot root;
  EXPECT_EQ(resolve_identity(root.fd(), "5:6")->group, 6U);
  EXPECT_THAT(resolve_identity(root.fd(), "redis"), IsError(ErrorCode::NotFound));
  EXPECT_EQ(numeric_identity(root.fd(), 0, 0, {})->home, "/");
}

TEST(AccountFiles, AreRegularFilesOrNothing) {
  const TestRoot fifo;
  fifo.fifo("etc/passwd");
  fifo.directory("etc/group");
  EXPECT_THAT(resolve_identity(fifo.fd(), "redis"), IsError(ErrorCode::Invalid));
  EXPECT_EQ(resolve_identity(fifo.fd(), "7")->user, 7U);
  EXPECT_FALSE(resolve_identity(fifo.fd(), "7:audio").has_value());
  const TestRoot directory;
  directory.directory("etc/passwd");
  directory.fifo("etc/group");
  EXPECT_FALSE(resolve_identity(directory.fd(), "redis").has_value());
  EXPECT_THAT(resolve_identity(directory.fd(), "7:audio"), IsError(ErrorCode::Invalid));
}

TEST(AccountFiles, AreNotDevices) {
  const TestRoot root;
  // No driver has these numbers: opened, they would seem not to be there.
  if (!root.device("etc/passwd", 240, 1) || !root.device("etc/group", 240, 1)) {
    GTEST_SKIP() << "this user may not make device nodes";
  }
  EXPECT_THAT(resolve_identity(root.fd(), "redis"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(resolve_identity(root.fd(), "7:audio"), IsError(ErrorCode::Invalid));
  EXPECT_EQ(resolve_identity(root.fd(), "7")->user, 7U);
}

TEST(AccountFiles, LinksStayInside) {
  const TestRoot root;
  root.write("usr/lib/passwd", "inside:x:5:6::/:\n");
  root.link("etc/passwd", "/usr/lib/passwd");
  EXPECT_EQ(resolve_identity(root.fd(), "inside")->user, 5U);
  const TestRoot outward;
  outward.link("etc/passwd", "../../../../../../etc/passwd");
  EXPECT_FALSE(resolve_identity(outward.fd(), "root").has_value());
}

TEST(AccountFiles, AreBounded) {
  const TestRoot root;
  root.write("etc/passwd", std::string(kMaxAccountFile + 1, 'x'));
  EXPECT_THAT(resolve_identity(root.fd(), "redis"), IsError(ErrorCode::ResourceExhausted));
  EXPECT_EQ(resolve_identity(root.fd(), "3")->user, 3U);
  root.write("etc/group", std::string(kMaxAccountFile + 1, 'x'));
  EXPECT_THAT(resolve_identity(root.fd(), "3:audio"), IsError(ErrorCode::ResourceExhausted));
}

}  // namespace
}  // namespace bulkhead::guest
