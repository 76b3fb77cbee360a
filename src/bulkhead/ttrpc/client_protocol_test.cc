#include "bulkhead/ttrpc/client_protocol.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/envelope.pb.h"
#include "bulkhead/ttrpc/frame.h"

namespace bulkhead::ttrpc {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

struct Frame {
  StreamId stream;
  int type;
  int flags;
  std::string data;
};

class ClientProtocolTest : public ::testing::Test {
 protected:
  ClientProtocolTest()
      : protocol_(ClientProtocol::create([this](const std::string& frame) -> Result<> {
          reader_.feed(as_bytes(frame), [this](const FrameHeader& header, Bytes data, bool) {
            sent_.push_back({header.stream, header.type, header.flags, std::string(as_text(data))});
            return true;
          });
          return {};
        })) {}

  StreamId call(const CallOptions& options = {}) {
    UnaryDone done = [this](Result<std::string> result) { results_.push_back(std::move(result)); };
    auto stream = protocol_->call("s.S", "M", "payload", options, now_, done);
    EXPECT_THAT(stream, IsOk());
    return *stream;
  }

  StreamId open(std::optional<std::string> payload) {
    StreamEvents events{.on_message =
                            [this](Bytes bytes) {
                              messages_.emplace_back(as_text(bytes));
                              return messages_.back() != "bad";
                            },
                        .on_end = [this](Result<> result) { ends_.push_back(std::move(result)); }};
    auto stream = protocol_->open("s.S", "Stream", std::move(payload), {}, now_, events);
    EXPECT_THAT(stream, IsOk());
    return *stream;
  }

  void answer(StreamId stream, std::int32_t code, const std::string& message,
              const std::string& payload = {}) {
    envelope::Response response;
    if (code != 0) {
      response.mutable_status()->set_code(code);
      response.mutable_status()->set_message(message);
    }
    response.set_payload(payload);
    receive(FrameType::Response, stream, 0, serialize(response));
  }

  void receive(FrameType type, StreamId stream, std::uint8_t flags, const std::string& data) {
    protocol_->receive(as_bytes(make_frame(type, stream, flags, as_bytes(data))));
  }

  FrameReader reader_;
  std::vector<Frame> sent_;
  std::vector<Result<std::string>> results_;
  std::vector<std::string> messages_;
  std::vector<Result<>> ends_;
  SteadyTime now_;
  std::shared_ptr<ClientProtocol> protocol_;
};

TEST_F(ClientProtocolTest, SendsRequests) {
  call({.timeout = milliseconds(7), .metadata = {{"a", "b"}, {"a", "c"}}});
  call();
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(sent_[0].stream, 1U);
  EXPECT_EQ(sent_[1].stream, 3U);
  EXPECT_EQ(sent_[0].type, 1);
  EXPECT_EQ(sent_[0].flags, 0);
  envelope::Request request;
  ASSERT_TRUE(request.ParseFromString(sent_[0].data));
  EXPECT_EQ(request.service(), "s.S");
  EXPECT_EQ(request.method(), "M");
  EXPECT_EQ(request.payload(), "payload");
  EXPECT_EQ(request.timeout_nano(), 7'000'000);
  ASSERT_EQ(request.metadata_size(), 2);
  EXPECT_EQ(request.metadata(1).value(), "c");
}

TEST_F(ClientProtocolTest, MatchesAnswersInAnyOrder) {
  const StreamId first = call();
  const StreamId second = call();
  answer(second, 5, "not here");
  answer(first, 0, "", "fine");
  ASSERT_EQ(results_.size(), 2U);
  EXPECT_THAT(results_[0], IsError(ErrorCode::NotFound));
  EXPECT_EQ(results_[0].error().message(), "not here");
  EXPECT_THAT(results_[1], IsOkAnd("fine"));
  EXPECT_EQ(protocol_->outstanding(), 0U);
}

TEST_F(ClientProtocolTest, IgnoresAnswersNobodyWaitsFor) {
  answer(1, 0, "", "before the request");
  const StreamId stream = call();
  answer(stream + 2, 0, "", "another's");
  answer(0, 0, "", "zero");
  EXPECT_TRUE(results_.empty());
  answer(stream, 0, "", "ours");
  answer(stream, 0, "", "twice");
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsOkAnd("ours"));
}

TEST_F(ClientProtocolTest, TimesOut) {
  const StreamId stream = call({.timeout = milliseconds(5)});
  call();
  EXPECT_EQ(protocol_->next_deadline(), now_ + milliseconds(5));
  protocol_->expire(now_ + milliseconds(4));
  EXPECT_TRUE(results_.empty());
  protocol_->expire(now_ + milliseconds(5));
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsError(ErrorCode::Timeout));
  answer(stream, 0, "", "late");
  EXPECT_EQ(results_.size(), 1U);
  EXPECT_EQ(protocol_->next_deadline(), std::nullopt);
}

TEST_F(ClientProtocolTest, UnreadableAnswersAreCorrupt) {
  receive(FrameType::Response, call(), 0, "\xff\xff\xff");
  receive(FrameType::Data, call(), 0, "x");
  receive(FrameType(9), call(), 0, "x");
  ASSERT_EQ(results_.size(), 3U);
  for (const auto& result : results_) {
    EXPECT_THAT(result, IsError(ErrorCode::Corrupt));
  }
}

TEST_F(ClientProtocolTest, AnOversizedAnswerEndsOnlyItsCall) {
  const StreamId first = call();
  const StreamId second = call();
  std::string bytes = make_frame(FrameType::Response, first, 0, {});
  bytes[0] = 0x04;  // 64 MiB
  protocol_->receive(as_bytes(bytes));
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsError(ErrorCode::ResourceExhausted));
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) {
    protocol_->receive(as_bytes(piece));
  }
  answer(second, 0, "", "fine");
  EXPECT_EQ(results_.size(), 2U);
}

TEST_F(ClientProtocolTest, ReceivesAStream) {
  const StreamId stream = open("request");
  EXPECT_EQ(sent_[0].flags, kFlagRemoteClosed);
  receive(FrameType::Data, stream, 0, "a");
  receive(FrameType::Data, stream, 0, "");
  receive(FrameType::Data, stream, kFlagRemoteClosed | kFlagNoData, "");
  receive(FrameType::Data, stream, 0, "late");
  EXPECT_THAT(messages_, ElementsAre("a", ""));
  ASSERT_EQ(ends_.size(), 1U);
  EXPECT_THAT(ends_[0], IsOk());
}

TEST_F(ClientProtocolTest, AStreamMayEndInAnError) {
  const StreamId stream = open("request");
  receive(FrameType::Data, stream, 0, "a");
  answer(stream, 14, "gone");
  ASSERT_EQ(ends_.size(), 1U);
  EXPECT_THAT(ends_[0], IsError(ErrorCode::Unavailable));
}

TEST_F(ClientProtocolTest, AnUnreadableMessageEndsAStream) {
  const StreamId stream = open("request");
  receive(FrameType::Data, stream, 0, "bad");
  ASSERT_EQ(ends_.size(), 1U);
  EXPECT_THAT(ends_[0], IsError(ErrorCode::Corrupt));
}

TEST_F(ClientProtocolTest, SendsAStream) {
  const StreamId stream = open(std::nullopt);
  EXPECT_EQ(sent_[0].flags, kFlagRemoteOpen);
  EXPECT_THAT(protocol_->write(stream, "a"), IsOk());
  EXPECT_THAT(protocol_->write(stream, ""), IsOk());
  EXPECT_THAT(protocol_->close_send(stream), IsOk());
  EXPECT_THAT(protocol_->close_send(stream), IsOk());
  EXPECT_THAT(protocol_->write(stream, "b"), IsError(ErrorCode::FailedPrecondition));
  ASSERT_EQ(sent_.size(), 4U);
  EXPECT_EQ(sent_[1].type, 3);
  EXPECT_EQ(sent_[1].flags, 0);
  EXPECT_EQ(sent_[2].flags, 0);
  EXPECT_EQ(sent_[3].flags, kFlagRemoteClosed | kFlagNoData);
  receive(FrameType::Data, stream, kFlagRemoteClosed | kFlagNoData, "");
  EXPECT_THAT(protocol_->write(stream, "c"), IsError(ErrorCode::Unavailable));
}

TEST_F(ClientProtocolTest, AnUploadIsAnsweredOnce) {
  UnaryDone done = [this](Result<std::string> result) { results_.push_back(std::move(result)); };
  const auto stream = protocol_->open_upload("s.S", "Up", {}, now_, done);
  ASSERT_THAT(stream, IsOk());
  EXPECT_THAT(protocol_->write(*stream, "a"), IsOk());
  answer(*stream, 0, "", "sum");
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsOkAnd("sum"));
}

TEST_F(ClientProtocolTest, CancelledCallsAreSilent) {
  const StreamId stream = call({.timeout = milliseconds(5)});
  protocol_->cancel(stream);
  answer(stream, 0, "", "x");
  protocol_->expire(now_ + milliseconds(9));
  EXPECT_TRUE(results_.empty());
}

TEST_F(ClientProtocolTest, ClosingFailsEverything) {
  call();
  open("x");
  protocol_->close({ErrorCode::Unavailable, "broken"});
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsError(ErrorCode::Unavailable));
  ASSERT_EQ(ends_.size(), 1U);
  UnaryDone done = [](const Result<std::string>&) {};
  EXPECT_THAT(protocol_->call("s.S", "M", "", {}, now_, done), IsError(ErrorCode::Unavailable));
}

TEST_F(ClientProtocolTest, ARequestTooBigIsInvalid) {
  UnaryDone done = [](const Result<std::string>&) {};
  EXPECT_THAT(protocol_->call("s.S", "M", std::string(kMaxDataSize, 'x'), {}, now_, done),
              IsError(ErrorCode::Invalid));
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(call(), 1U);
}

TEST_F(ClientProtocolTest, ACallbackMayEndOtherCalls) {
  StreamId second = 0;
  UnaryDone done = [&](const Result<std::string>&) {
    protocol_->cancel(second);
    protocol_->close({ErrorCode::Cancelled, "enough"});
  };
  const auto first = protocol_->call("s.S", "M", "", {}, now_, done);
  second = call();
  call();
  answer(*first, 0, "");
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_THAT(results_[0], IsError(ErrorCode::Cancelled));
}

}  // namespace
}  // namespace bulkhead::ttrpc
