#include "bulkhead/shim/arguments.h"

#include <initializer_list>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::shim {
namespace {

Result<Arguments> parse(std::initializer_list<std::string_view> words) {
  return parse_arguments(std::vector<std::string_view>(words));
}

TEST(Arguments, AsContainerdWritesThem) {
  const auto arguments =
      parse({"-namespace", "default", "-address", "/run/containerd/containerd.sock",
             "-publish-binary", "/usr/bin/containerd", "-id", "web", "-debug", "start"});
  ASSERT_THAT(arguments, IsOk());
  EXPECT_EQ(arguments->action, Action::Start);
  EXPECT_EQ(arguments->name_space, "default");
  EXPECT_EQ(arguments->id, "web");
  EXPECT_EQ(arguments->address, "/run/containerd/containerd.sock");
  EXPECT_TRUE(arguments->debug);
}

TEST(Arguments, AsGoReadsThem) {
  const auto arguments = parse({"--namespace=n", "--id=a=b"});
  EXPECT_THAT(arguments, IsError(ErrorCode::Invalid));
  const auto good = parse({"--namespace=n", "-id=a", "-debug=false", "-bundle", "/b", "delete"});
  ASSERT_THAT(good, IsOk());
  EXPECT_EQ(good->action, Action::Delete);
  EXPECT_EQ(good->bundle, "/b");
  EXPECT_FALSE(good->debug);
  EXPECT_EQ(parse({"--namespace=n", "-id=a", "stand-by"})->action, Action::StandBy);
  EXPECT_EQ(parse({"-v"})->action, Action::Version);
  EXPECT_EQ(parse({"-version"})->action, Action::Version);
}

TEST(Arguments, RefusesTheRest) {
  EXPECT_THAT(parse({}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"start"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "n", "-id", "../x", "start"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "a/b", "-id", "x", "start"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "n", "-id", "x", "run"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "n", "-id", "x", "start", "more"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "n", "-id"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-unknown", "start"}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse({"-namespace", "n", "-id", "x", "-bundle", "rel", "start"}),
              IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::shim
