#include "bulkhead/guest/environment.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::guest {
namespace {

using ::testing::ElementsAre;

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

TEST(Environment, AddsWhatIsMissing) {
  EXPECT_THAT(complete_environment({"A=1"}, {.hostname = "h", .home = "/root", .terminal = true}),
              IsOkAnd(ElementsAre("A=1", kPath, "HOSTNAME=h", "TERM=xterm", "HOME=/root")));
  EXPECT_THAT(complete_environment({}, {.hostname = "", .home = "/"}),
              IsOkAnd(ElementsAre(kPath, "HOME=/")));
}

TEST(Environment, KeepsWhatIsThere) {
  EXPECT_THAT(complete_environment({"PATH=", "TERM=vt100", "HOME=/x", "HOSTNAME=y"},
                                   {.hostname = "h", .home = "/root", .terminal = true}),
              IsOkAnd(ElementsAre("PATH=", "TERM=vt100", "HOME=/x", "HOSTNAME=y")));
}

TEST(Environment, EmptyHomeIsNoHome) {
  EXPECT_THAT(complete_environment({"PATH=/", "HOME="}, {.hostname = "", .home = "/root"}),
              IsOkAnd(ElementsAre("PATH=/", "HOME=/root")));
}

TEST(Environment, LastOneWinsInTheFirstOnesPlace) {
  EXPECT_THAT(complete_environment({"A=1", "B=2", "A=3", "PATH=/", "HOME=/"}, {}),
              IsOkAnd(ElementsAre("A=3", "B=2", "PATH=/", "HOME=/")));
}

TEST(Environment, LeavesOutWhatIsNoVariable) {
  EXPECT_THAT(complete_environment({"nothing", "=x", "", "A==", "PATH=/", "HOME=/"}, {}),
              IsOkAnd(ElementsAre("A==", "PATH=/", "HOME=/")));
}

TEST(Environment, RefusesNul) {
  EXPECT_THAT(complete_environment({std::string("A=1\0B", 5)}, {}), IsError(ErrorCode::Invalid));
}

TEST(Environment, TakesVeryMany) {
  constexpr int kCount = 100'000;
  std::vector<std::string> many;
  many.reserve(kCount);
  for (int i = 0; i < kCount; ++i) {
    many.push_back("V" + std::to_string(i) + "=x");
  }
  EXPECT_EQ(complete_environment(many, {.hostname = "", .home = "/"})->size(), many.size() + 2);
}

TEST(Environment, FindsVariables) {
  const std::vector<std::string> environment = {"PATHS=1", "PATH=/bin", "E="};
  EXPECT_EQ(find_variable(environment, "PATH"), "/bin");
  EXPECT_EQ(find_variable(environment, "E"), "");
  EXPECT_EQ(find_variable(environment, "X"), "");
}

}  // namespace
}  // namespace bulkhead::guest
