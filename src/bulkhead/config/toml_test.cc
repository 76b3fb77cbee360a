#include "bulkhead/config/toml.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/json/write.h"

namespace bulkhead::config {
namespace {

TEST(Toml, KeepsTheOrderOfTheText) {
  const auto value = parse_toml(
      "z = 1\na = \"x\"\n[host.\"https://b\"]\nok = true\n[host.\"https://a\"]\nlist = [[1, 2.5], "
      "[\"y\"]]\nday = 2026-01-02\n",
      "test");
  ASSERT_THAT(value, IsOk());
  EXPECT_EQ(json::write(*value), R"({"z":1,"a":"x","host":{"https://b":{"ok":true},)"
                                 R"("https://a":{"list":[[1,2.5],["y"]],"day":"2026-01-02"}}})");
}

TEST(Toml, TakesOtherLettersInCommentLines) {
  EXPECT_THAT(parse_toml("  # \xc3\xa9\na = \"\\u00e9\"\n", "t"), IsOk());
  EXPECT_THAT(parse_toml("\xef\xbb\x93 = 1\n", "t"), IsError(ErrorCode::Invalid));
}

TEST(Toml, SaysWhereAnErrorIs) {
  const auto value = parse_toml("a = 1\nb = [1,\n", "hosts.toml");
  ASSERT_THAT(value, IsError(ErrorCode::Invalid));
  EXPECT_THAT(value.error().message(), testing::StartsWith("hosts.toml: line "));
  EXPECT_THAT(parse_toml("a = 1\na = 2\n", "t"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_toml("[[[[x = 1\n", "t"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_toml(std::string(2U << 20U, ' '), "t"), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse_toml("a = " + std::string(100'000, '['), "t"), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::config
