#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/cli/environment.h"
#include "bulkhead/cli/signal_name.h"

namespace bulkhead::cli {
namespace {

using ::testing::ElementsAre;

std::optional<std::string> lookup(const std::string& name) {
  return name == "HERE" ? std::optional<std::string>("mine") : std::nullopt;
}

TEST(Environment, FilesComeFirstAndNamesTakeTheCallersValue) {
  EXPECT_THAT(collect_environment({}, {"A=1", "HERE", "ABSENT", "E="}, lookup),
              IsOkAnd(ElementsAre("A=1", "HERE=mine", "E=")));
  EXPECT_THAT(collect_environment({}, {"=x"}, lookup), IsError(ErrorCode::Invalid));
  EXPECT_THAT(collect_environment({"/no/such/file"}, {}, lookup), IsError(ErrorCode::NotFound));
}

TEST(Environment, FileSyntaxIsDockers) {
  EXPECT_THAT(parse_environment_file("A=1\n\n# comment\n  B=two words \nHERE\nABSENT\r\n", lookup),
              IsOkAnd(ElementsAre("A=1", "B=two words ", "HERE=mine")));
  EXPECT_THAT(parse_environment_file("A B=1\n", lookup), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_environment_file("=1\n", lookup), IsError(ErrorCode::Invalid));
}

TEST(SignalName, KnowsNamesAndNumbers) {
  EXPECT_THAT(parse_signal("TERM"), IsOkAnd(SIGTERM));
  EXPECT_THAT(parse_signal("sigusr1"), IsOkAnd(SIGUSR1));
  EXPECT_THAT(parse_signal("9"), IsOkAnd(9));
  EXPECT_THAT(parse_signal("RTMIN+3"), IsOkAnd(37));
  for (const char* bad : {"", "0", "65", "-1", "NOPE", "SIG", "RTMIN+99", "RTMINx"}) {
    EXPECT_THAT(parse_signal(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

}  // namespace
}  // namespace bulkhead::cli
