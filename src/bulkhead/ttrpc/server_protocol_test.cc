#include "bulkhead/ttrpc/server_protocol.h"

#include <chrono>
#include <cstdint>
#include <limits>
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
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/status.h"
#include "bulkhead/ttrpc/test/echo.pb.h"
#include "bulkhead/ttrpc/test/echo.ttrpc.h"

namespace bulkhead::ttrpc {
namespace {

using std::chrono::milliseconds;
using test::Number;
using test::Text;

/// Keeps "Say" until it is told to answer; streams at once.
class EchoService : public test::EchoService {
 public:
  void say(Text request, Responder<Text> respond) override {
    if (request.text() == "now") {
      respond(request);
    } else if (request.text() == "fail") {
      respond(Error(ErrorCode::NotFound, "no such thing"));
    } else if (request.text() != "drop") {
      waiting.push_back(std::move(respond));
    }
  }

  void count(Number request, ServerWriter<Number> writer) override {
    for (std::int64_t i = 1; i <= request.number(); ++i) {
      Number number;
      number.set_number(i);
      write_results.push_back(writer.write(number));
    }
    writer.finish();
  }

  void sum_io(ServerReader<Number, Number> call) override {
    reader.emplace(std::move(call));
    if (read_at_once) {
      read();
    }
  }

  void read() {
    reader->read([this](const Number& number) { sum += number.number(); },
                 [this] {
                   Number answer;
                   answer.set_number(sum);
                   (*reader)(answer);
                 });
  }

  void chat(ServerStream<Text, Text> call) override {
    stream = std::make_unique<ServerStream<Text, Text>>(std::move(call));
    stream->read([this](const Text& text) { EXPECT_THAT(stream->write(text), IsOk()); },
                 [this] { stream->finish(); });
  }

  std::vector<Responder<Text>> waiting;
  std::vector<Result<>> write_results;
  std::optional<ServerReader<Number, Number>> reader;
  std::unique_ptr<ServerStream<Text, Text>> stream;
  std::int64_t sum = 0;
  bool read_at_once = true;
};

struct Frame {
  StreamId stream;
  int type;
  int flags;
  std::string data;
};

class ServerProtocolTest : public ::testing::Test {
 protected:
  ServerProtocolTest() {
    services_.add(service_);
    services_.add(service_, "other.v3.Echo");
    start({});
  }

  void start(ServerLimits limits) {
    protocol_ =
        ServerProtocol::create(services_, limits, [this](const std::string& frame) -> Result<> {
          if (broken_) {
            return Error(ErrorCode::ResourceExhausted, "full");
          }
          reader_.feed(as_bytes(frame), [this](const FrameHeader& header, Bytes data, bool) {
            sent_.push_back({header.stream, header.type, header.flags, std::string(as_text(data))});
            return true;
          });
          return {};
        });
  }

  void send(FrameType type, StreamId stream, std::uint8_t flags, const std::string& data) {
    protocol_->receive(as_bytes(make_frame(type, stream, flags, as_bytes(data))), now_);
  }

  static std::string request(const std::string& method, const std::string& payload,
                             std::int64_t timeout = 0, const std::string& service = kEcho) {
    envelope::Request request;
    request.set_service(service);
    request.set_method(method);
    request.set_payload(payload);
    request.set_timeout_nano(timeout);
    auto* pair = request.add_metadata();
    pair->set_key(std::string(kNamespaceKey));
    pair->set_value("moby");
    return serialize(request);
  }

  static std::string text(const std::string& content) {
    Text message;
    message.set_text(content);
    return serialize(message);
  }

  static std::string number(std::int64_t value) {
    Number message;
    message.set_number(value);
    return serialize(message);
  }

  void say(StreamId stream, const std::string& content, std::int64_t timeout = 0) {
    send(FrameType::Request, stream, 0, request("Say", text(content), timeout));
  }

  /// Takes the only frame sent, a response, and returns its code.
  StatusCode take_code(StreamId stream) {
    EXPECT_EQ(sent_.size(), 1U);
    if (sent_.empty()) {
      return StatusCode::Ok;
    }
    const Frame frame = std::exchange(sent_, {}).front();
    EXPECT_EQ(frame.stream, stream);
    EXPECT_EQ(frame.type, 2);
    EXPECT_EQ(frame.flags, 0);
    envelope::Response response;
    EXPECT_TRUE(response.ParseFromString(frame.data));
    last_message_ = response.status().message();
    last_payload_ = response.payload();
    return StatusCode(response.status().code());
  }

  static constexpr const char* kEcho = "bulkhead.ttrpc.test.Echo";

  EchoService service_;
  ServiceTable services_;
  SteadyTime now_;
  std::shared_ptr<ServerProtocol> protocol_;
  FrameReader reader_;
  std::vector<Frame> sent_;
  std::string last_message_;
  std::string last_payload_;
  bool broken_ = false;
};

TEST_F(ServerProtocolTest, AnswersUnaryCalls) {
  say(1, "now");
  EXPECT_EQ(take_code(1), StatusCode::Ok);
  EXPECT_EQ(last_payload_, text("now"));
  say(3, "fail");
  EXPECT_EQ(take_code(3), StatusCode::NotFound);
  EXPECT_EQ(last_message_, "no such thing");
}

TEST_F(ServerProtocolTest, AnswersInAnyOrder) {
  say(1, "a");
  say(3, "b");
  say(5, "now");
  EXPECT_EQ(take_code(5), StatusCode::Ok);
  EXPECT_EQ(protocol_->active_calls(), 2U);
  service_.waiting[1](Text());
  EXPECT_EQ(take_code(3), StatusCode::Ok);
  service_.waiting[0](Text());
  EXPECT_EQ(take_code(1), StatusCode::Ok);
  EXPECT_EQ(protocol_->active_calls(), 0U);
}

TEST_F(ServerProtocolTest, AnswersOnceOnly) {
  say(1, "a");
  service_.waiting[0](Text());
  service_.waiting[0](Error(ErrorCode::NotFound, "again"));
  service_.waiting.clear();
  EXPECT_EQ(take_code(1), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, ADroppedCallIsAnsweredInternal) {
  say(1, "drop");
  EXPECT_EQ(take_code(1), StatusCode::Internal);
}

TEST_F(ServerProtocolTest, ServesTheSameServiceUnderAnotherName) {
  send(FrameType::Request, 1, 0, request("Say", text("now"), 0, "other.v3.Echo"));
  EXPECT_EQ(take_code(1), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, TellsTheContext) {
  say(1, "a", 5'000'000);
  const CallContext& context = service_.waiting[0].context();
  EXPECT_EQ(context.service, kEcho);
  EXPECT_EQ(context.method, "Say");
  EXPECT_EQ(context.metadata_value(kNamespaceKey), "moby");
  EXPECT_EQ(context.metadata_value("absent"), "");
  EXPECT_EQ(context.deadline, now_ + milliseconds(5));
}

TEST_F(ServerProtocolTest, UnknownServicesAndMethodsAreUnimplemented) {
  send(FrameType::Request, 1, 0, request("Say", "", 0, "nobody\n"));
  EXPECT_EQ(take_code(1), StatusCode::Unimplemented);
  send(FrameType::Request, 3, 0, request("Shout", ""));
  EXPECT_EQ(take_code(3), StatusCode::Unimplemented);
  send(FrameType::Request, 5, 0, request("Delete", ""));  // declared, not implemented
  EXPECT_EQ(take_code(5), StatusCode::Unimplemented);
  say(7, "now");
  EXPECT_EQ(take_code(7), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, BadStreamIdsAreInvalidAndTheConnectionStays) {
  for (const StreamId stream : {0U, 2U, 0xfffffffeU}) {
    say(stream, "now");
    EXPECT_EQ(take_code(stream), StatusCode::InvalidArgument);
  }
  say(5, "now");
  EXPECT_EQ(take_code(5), StatusCode::Ok);
  for (const StreamId stream : {5U, 3U, 1U}) {  // reused, decreasing
    say(stream, "now");
    EXPECT_EQ(take_code(stream), StatusCode::InvalidArgument);
  }
  say(0xffffffff, "now");
  EXPECT_EQ(take_code(0xffffffff), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, UnreadableRequestsAreInvalid) {
  send(FrameType::Request, 1, 0, "\xff\xff\xff");
  EXPECT_EQ(take_code(1), StatusCode::InvalidArgument);
  send(FrameType::Request, 3, 0, request("Say", "\xff\xff\xff"));
  EXPECT_EQ(take_code(3), StatusCode::InvalidArgument);
  send(FrameType::Request, 5, 0, {});
  EXPECT_EQ(take_code(5), StatusCode::Unimplemented);
}

TEST_F(ServerProtocolTest, OversizedMessagesAreExhausted) {
  std::string bytes = make_frame(FrameType::Request, 1, 0, {});
  bytes[1] = 0x40;
  bytes[3] = 0x01;
  bytes += std::string(kMaxDataSize + 1, 'y');
  protocol_->receive(as_bytes(bytes), now_);
  EXPECT_EQ(take_code(1), StatusCode::ResourceExhausted);
  say(1, "now");
  EXPECT_EQ(take_code(1), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, UnknownFrameTypesAreIgnored) {
  for (const int type : {0, 2, 4, 255}) {
    send(FrameType(type), 1, 0xff, "x");
  }
  EXPECT_TRUE(sent_.empty());
  send(FrameType::Request, 1, 0xff, request("Say", text("now")));
  EXPECT_EQ(take_code(1), StatusCode::Ok);
}

TEST_F(ServerProtocolTest, DataOnInactiveStreamsIsInvalid) {
  send(FrameType::Data, 9, 0, "x");
  EXPECT_EQ(take_code(9), StatusCode::InvalidArgument);
  say(11, "now");
  EXPECT_EQ(take_code(11), StatusCode::Ok);
  send(FrameType::Data, 11, kFlagRemoteClosed | kFlagNoData, "");
  EXPECT_EQ(take_code(11), StatusCode::InvalidArgument);
}

TEST_F(ServerProtocolTest, StreamsToTheClient) {
  send(FrameType::Request, 1, kFlagRemoteClosed, request("Count", number(2)));
  ASSERT_EQ(sent_.size(), 3U);
  EXPECT_EQ(sent_[0].type, 3);
  EXPECT_EQ(sent_[0].flags, 0);
  EXPECT_EQ(sent_[0].data, number(1));
  EXPECT_EQ(sent_[1].data, number(2));
  EXPECT_EQ(sent_[2].type, 3);
  EXPECT_EQ(sent_[2].flags, kFlagRemoteClosed | kFlagNoData);
  EXPECT_EQ(protocol_->active_calls(), 0U);
}

TEST_F(ServerProtocolTest, StreamsFromTheClient) {
  send(FrameType::Request, 1, kFlagRemoteOpen, request("SumIO", ""));
  send(FrameType::Data, 1, 0, number(40));
  send(FrameType::Data, 1, 0, "");  // an empty message is a message
  send(FrameType::Data, 1, 0, number(2));
  EXPECT_TRUE(sent_.empty());
  send(FrameType::Data, 1, kFlagRemoteClosed | kFlagNoData, "");
  EXPECT_EQ(take_code(1), StatusCode::Ok);
  EXPECT_EQ(last_payload_, number(42));
  send(FrameType::Data, 1, 0, number(2));
  EXPECT_EQ(take_code(1), StatusCode::InvalidArgument);
}

TEST_F(ServerProtocolTest, TheRequestMayCarryTheFirstMessageAndTheLastFrameOne) {
  send(FrameType::Request, 1, kFlagRemoteOpen, request("SumIO", number(40)));
  send(FrameType::Data, 1, kFlagRemoteClosed, number(2));
  EXPECT_EQ(take_code(1), StatusCode::Ok);
  EXPECT_EQ(last_payload_, number(42));
}

TEST_F(ServerProtocolTest, MessagesWaitForAServiceThatReadsLater) {
  service_.read_at_once = false;
  send(FrameType::Request, 1, kFlagRemoteOpen, request("SumIO", ""));
  send(FrameType::Data, 1, 0, number(1));
  send(FrameType::Data, 1, kFlagRemoteClosed, number(2));
  service_.read();
  EXPECT_EQ(take_code(1), StatusCode::Ok);
  EXPECT_EQ(last_payload_, number(3));
}

TEST_F(ServerProtocolTest, WaitingMessagesAreBounded) {
  service_.read_at_once = false;
  send(FrameType::Request, 1, kFlagRemoteOpen, request("SumIO", ""));
  for (int i = 0; i < 65; ++i) {
    send(FrameType::Data, 1, 0, number(1));
  }
  EXPECT_EQ(take_code(1), StatusCode::ResourceExhausted);
  EXPECT_FALSE(service_.reader->is_active());
}

TEST_F(ServerProtocolTest, StreamsBothWays) {
  send(FrameType::Request, 1, kFlagRemoteOpen, request("Chat", ""));
  send(FrameType::Data, 1, 0, text("a"));
  send(FrameType::Data, 1, 0, text("b"));
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(sent_[1].data, text("b"));
  send(FrameType::Data, 1, kFlagRemoteClosed | kFlagNoData, "");
  ASSERT_EQ(sent_.size(), 3U);
  EXPECT_EQ(sent_[2].flags, kFlagRemoteClosed | kFlagNoData);
}

TEST_F(ServerProtocolTest, AnUnreadableMessageEndsAStream) {
  send(FrameType::Request, 1, kFlagRemoteOpen, request("Chat", ""));
  send(FrameType::Data, 1, 0, "\xff\xff");
  EXPECT_EQ(take_code(1), StatusCode::InvalidArgument);
  EXPECT_THAT(service_.stream->write(Text()), IsError(ErrorCode::Unavailable));
  service_.stream.reset();
  EXPECT_TRUE(sent_.empty());
}

TEST_F(ServerProtocolTest, CallsAreBounded) {
  start({.max_calls = 10'000});
  for (StreamId i = 0; i < 10'000; ++i) {
    say((2 * i) + 1, "a");
  }
  EXPECT_TRUE(sent_.empty());
  say(20'001, "a");
  EXPECT_EQ(take_code(20'001), StatusCode::ResourceExhausted);
  for (auto& respond : service_.waiting) {
    respond(Text());
  }
  EXPECT_EQ(sent_.size(), 10'000U);
}

TEST_F(ServerProtocolTest, DeadlinesAreAnswered) {
  say(1, "a", 5'000'000);
  say(3, "b", 2'000'000);
  int cancelled = 0;
  service_.waiting[1].on_cancelled([&] { ++cancelled; });
  EXPECT_EQ(protocol_->next_deadline(), now_ + milliseconds(2));
  protocol_->expire(now_ + milliseconds(3));
  EXPECT_EQ(take_code(3), StatusCode::DeadlineExceeded);
  EXPECT_EQ(cancelled, 1);
  EXPECT_FALSE(service_.waiting[1].is_active());
  service_.waiting[1](Text());  // too late
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(protocol_->next_deadline(), now_ + milliseconds(5));
  service_.waiting[0](Text());
  EXPECT_EQ(protocol_->next_deadline(), std::nullopt);
}

TEST_F(ServerProtocolTest, OddTimeoutsAreNone) {
  say(1, "a", -1);
  say(3, "a", std::numeric_limits<std::int64_t>::min());
  say(5, "a", std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(protocol_->next_deadline(), std::nullopt);
  EXPECT_TRUE(service_.waiting[2].is_active());
}

TEST_F(ServerProtocolTest, ClosingCancels) {
  say(1, "a");
  int cancelled = 0;
  service_.waiting[0].on_cancelled([&] { ++cancelled; });
  protocol_->close();
  EXPECT_EQ(cancelled, 1);
  EXPECT_FALSE(service_.waiting[0].is_active());
  service_.waiting[0](Text());
  protocol_.reset();
  service_.waiting.clear();
  EXPECT_TRUE(sent_.empty());
}

TEST_F(ServerProtocolTest, ACallMayOutliveItsConnection) {
  say(1, "a");
  protocol_.reset();
  EXPECT_FALSE(service_.waiting[0].is_active());
  service_.waiting[0](Text());
}

TEST_F(ServerProtocolTest, StopsWhenNothingCanBeSent) {
  broken_ = true;
  say(1, "now");
  EXPECT_FALSE(protocol_->is_open());
  say(3, "a");
  EXPECT_TRUE(service_.waiting.empty());
}

TEST_F(ServerProtocolTest, AnAnswerTooBigIsExhausted) {
  say(1, "a");
  Text big;
  big.set_text(std::string(kMaxDataSize, 'x'));
  service_.waiting[0](big);
  EXPECT_EQ(take_code(1), StatusCode::ResourceExhausted);
}

TEST_F(ServerProtocolTest, ErrorTextIsMadeSafeForTheWire) {
  say(1, "a");
  service_.waiting[0](Error(ErrorCode::Io, "open \xff\n"));
  EXPECT_EQ(take_code(1), StatusCode::Internal);
  EXPECT_EQ(last_message_, "open \\xff\\x0a");
}

TEST_F(ServerProtocolTest, LargeMetadataIsTaken) {
  envelope::Request big;
  big.set_service(kEcho);
  big.set_method("Say");
  big.set_payload(text("a"));
  auto* pair = big.add_metadata();
  pair->set_key("k");
  pair->set_value(std::string(1 << 20, 'v'));
  send(FrameType::Request, 1, 0, serialize(big));
  ASSERT_EQ(service_.waiting.size(), 1U);
  EXPECT_EQ(service_.waiting[0].context().metadata_value("k").size(), 1U << 20U);
}

}  // namespace
}  // namespace bulkhead::ttrpc
