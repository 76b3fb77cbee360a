#include "bulkhead/vmm/qemu/qmp_protocol.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/json/value.h"

namespace bulkhead::vmm::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}})"
    "\r\n";

class QmpProtocolTest : public testing::Test {
 protected:
  Result<> say(std::string_view text) { return protocol_.receive(as_bytes(text)); }

  /// Answers the greeting's negotiation, which has this id.
  void negotiate() {
    ASSERT_THAT(say(kGreeting), IsOk());
    const std::string output = protocol_.take_output();
    EXPECT_THAT(output, HasSubstr(R"("execute":"qmp_capabilities")"));
    const std::size_t id = output.find("\"id\":");
    ASSERT_THAT(say(fmt::format("{{\"return\": {{}}, {}", output.substr(id))), IsOk());
    ASSERT_TRUE(protocol_.is_ready());
  }

  std::vector<std::string> events_;
  int greetings_ = 0;
  QmpProtocol protocol_{
      {.greeted = [this] { ++greetings_; },
       .event = [this](const QmpEvent& event) { events_.push_back(event.name); }}};
};

TEST_F(QmpProtocolTest, HoldsCommandsUntilTheNegotiationIsOver) {
  std::optional<Result<json::Value>> reply;
  const auto id =
      protocol_.execute("stop", {}, [&](Result<json::Value> result) { reply = std::move(result); });
  EXPECT_THAT(protocol_.take_output(), IsEmpty());
  negotiate();
  EXPECT_EQ(greetings_, 1);
  EXPECT_EQ(protocol_.take_output(), fmt::format("{{\"execute\":\"stop\",\"id\":{}}}\r\n", id));
  ASSERT_THAT(say(fmt::format("{{\"return\": {{\"a\": 1}}, \"id\": {}}}\r\n", id)), IsOk());
  ASSERT_TRUE(reply);
  ASSERT_THAT(*reply, IsOk());
  EXPECT_EQ((**reply).find("a")->as_integer<int>(), 1);
}

TEST_F(QmpProtocolTest, TakesMessagesInAnyPieces) {
  negotiate();
  std::string received;
  const auto id = protocol_.execute(
      "query", {}, [&](Result<json::Value> result) { received = *result->as_string(); });
  const std::string text =
      fmt::format("{{\"event\": \"STOP\"}}\r\n{{\"return\": \"x\", \"id\": {}}}\n\r\n", id);
  for (const char c : text) {
    ASSERT_THAT(say(std::string_view(&c, 1)), IsOk());
  }
  EXPECT_EQ(received, "x");
  EXPECT_THAT(events_, ElementsAre("STOP"));
}

TEST_F(QmpProtocolTest, AnErrorReplyIsRemoteAndQuoted) {
  negotiate();
  std::optional<Error> error;
  const auto id = protocol_.execute(
      "cont", {}, [&](const Result<json::Value>& result) { error = result.error(); });
  ASSERT_THAT(say(fmt::format(
                  R"({{"error": {{"class": "GenericError", "desc": "no \u001b way"}}, "id": {}}})"
                  "\n",
                  id)),
              IsOk());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::Remote);
  EXPECT_THAT(error->message(), HasSubstr("no "));
  EXPECT_THAT(error->message(), testing::Not(HasSubstr("\x1b")));
}

TEST_F(QmpProtocolTest, ARefusedNegotiationLeavesCommandsToTheirTimeLimits) {
  ASSERT_THAT(say(kGreeting), IsOk());
  ASSERT_THAT(say("{\"error\": {\"desc\": \"no\"}, \"id\": 1}\n"), IsOk());
  EXPECT_FALSE(protocol_.is_ready());
}

TEST_F(QmpProtocolTest, ALateReplyToAForgottenCommandIsIgnored) {
  negotiate();
  bool was_called = false;
  const auto id =
      protocol_.execute("stop", {}, [&](const Result<json::Value>&) { was_called = true; });
  protocol_.forget(id);
  EXPECT_THAT(say(fmt::format("{{\"return\": {{}}, \"id\": {}}}\n", id)), IsOk());
  EXPECT_FALSE(was_called);
}

TEST_F(QmpProtocolTest, AbandonFailsWhatIsPendingOnce) {
  int failures = 0;
  std::ignore = protocol_.execute("stop", {}, [&](const Result<json::Value>& result) {
    failures += result.has_value() ? 0 : 1;
  });
  protocol_.abandon(fail(ErrorCode::Unavailable, "gone"));
  protocol_.abandon(fail(ErrorCode::Unavailable, "gone"));
  EXPECT_EQ(failures, 1);
}

TEST_F(QmpProtocolTest, BoundsWhatIsPending) {
  for (std::size_t i = 0; i < QmpProtocol::kMostPending; ++i) {
    std::ignore = protocol_.execute("stop", {}, [](const Result<json::Value>&) {});
  }
  std::optional<ErrorCode> code;
  std::ignore = protocol_.execute(
      "stop", {}, [&](const Result<json::Value>& result) { code = result.error().code(); });
  EXPECT_EQ(code, ErrorCode::ResourceExhausted);
}

TEST_F(QmpProtocolTest, APeerThatDoesNotSpeakQmpIsCorrupt) {
  EXPECT_THAT(say("HTTP/1.1 200 OK\r\n"), IsError(ErrorCode::Corrupt));
  QmpProtocol other({});
  EXPECT_THAT(other.receive(as_bytes("{\"return\": {}, \"id\": 1}\n")),
              IsError(ErrorCode::Corrupt));
}

TEST_F(QmpProtocolTest, RepliesAndEventsMustMakeSense) {
  negotiate();
  for (const char* bad :
       {"{}", "[]", R"({"return": 1})", R"({"return": 1, "id": "x"})", R"({"return": 1, "id": 77})",
        R"({"error": {}, "id": -1})", R"({"event": 5})", R"({"event": ""})", R"({"QMP": {}})"}) {
    EXPECT_THAT(say(std::string(bad) + "\n"), IsError(ErrorCode::Corrupt)) << bad;
  }
}

TEST_F(QmpProtocolTest, BoundsALineWithoutEnd) {
  const std::string piece(65536, 'x');
  Result<> result;
  for (int i = 0; i < 5 && result.has_value(); ++i) {
    result = say(piece);
  }
  EXPECT_THAT(result, IsError(ErrorCode::Corrupt));
}

TEST_F(QmpProtocolTest, BoundsNesting) {
  negotiate();
  const std::string deep =
      R"({"event": "X", "data": )" + std::string(100, '[') + std::string(100, ']') + "}\n";
  EXPECT_THAT(say(deep), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::vmm::qemu
