// Client and Server over real sockets and one loop.
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/client.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/envelope.pb.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/test/echo.pb.h"
#include "bulkhead/ttrpc/test/echo.ttrpc.h"

namespace bulkhead::ttrpc {
namespace {

using std::chrono::milliseconds;
using test::EchoClient;
using test::Number;
using test::Text;

Text make_text(std::string content) {
  Text text;
  text.set_text(std::move(content));
  return text;
}

class EchoService : public test::EchoService {
 public:
  void say(Text request, Responder<Text> respond) override {
    if (request.text() == "wait") {
      waiting.push_back(std::move(respond));
    } else {
      respond(request);
    }
  }

  void delete_(Text request, Responder<Text> respond) override { respond(request); }

  void count(Number request, ServerWriter<Number> writer) override {
    for (std::int64_t i = 1; i <= request.number(); ++i) {
      Number number;
      number.set_number(i);
      EXPECT_THAT(writer.write(number), IsOk());
    }
    writer.finish();
  }

  void sum_io(ServerReader<Number, Number> call) override {
    struct Sum {
      ServerReader<Number, Number> reader;
      std::int64_t sum = 0;
    };

    const auto state = std::make_shared<Sum>(std::move(call));
    state->reader.read([state](const Number& number) { state->sum += number.number(); },
                       [state] {
                         Number answer;
                         answer.set_number(state->sum);
                         state->reader(answer);
                       });
  }

  void chat(ServerStream<Text, Text> call) override {
    const auto stream = std::make_shared<ServerStream<Text, Text>>(std::move(call));
    stream->read([stream](const Text& text) { EXPECT_THAT(stream->write(text), IsOk()); },
                 [stream] { stream->finish(); });
  }

  std::vector<Responder<Text>> waiting;
};

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() : loop_(*os::EventLoop::create()) { server_ = std::make_unique<Server>(*loop_); }

  void SetUp() override {
    path_ = ::testing::TempDir() + "bulkhead-ttrpc-" + std::to_string(::getpid());
    server_->add_service(service_);
    ASSERT_THAT(server_->listen(*os::listen_unix(path_)), IsOk());
    client_ = *Client::connect(*loop_, path_);
  }

  void TearDown() override { ::unlink(path_.c_str()); }

  template <class Condition>
  void run_until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < limit) {
      ASSERT_THAT(loop_->run_once(milliseconds(100)), IsOk());
    }
    ASSERT_TRUE(condition());
  }

  std::unique_ptr<os::EventLoop> loop_;
  EchoService service_;
  std::unique_ptr<Server> server_;
  std::string path_;
  std::unique_ptr<Client> client_;
};

TEST_F(ConnectionTest, CallsAndWaits) {
  EchoClient echo(*client_);
  const auto answer = echo.say_and_wait(make_text("hello"));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->text(), "hello");
  EXPECT_THAT(echo.delete__and_wait(make_text("x")), IsOk());
  EchoClient nobody(*client_, "no.such.Service");
  EXPECT_THAT(nobody.say_and_wait(make_text("hello")), IsError(ErrorCode::Unsupported));
}

TEST_F(ConnectionTest, CarriesTheLargestMessages) {
  EchoClient echo(*client_);
  const std::string big(kMaxDataSize - 100, 'x');
  const auto answer = echo.say_and_wait(make_text(big));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->text(), big);
  EXPECT_THAT(echo.say_and_wait(make_text(big + big)), IsError(ErrorCode::Invalid));
  EXPECT_THAT(echo.say_and_wait(make_text("still here")), IsOk());
}

TEST_F(ConnectionTest, WaitTimesOutOnTheClient) {
  EchoClient echo(*client_);
  EXPECT_THAT(echo.say_and_wait(make_text("wait"), {.timeout = milliseconds(10)}),
              IsError(ErrorCode::Timeout));
  EXPECT_THAT(echo.say_and_wait(make_text("go on")), IsOk());
}

TEST_F(ConnectionTest, StoppingTheLoopInterruptsAWait) {
  EchoClient echo(*client_);
  loop_->after(milliseconds(1), [&] { loop_->stop(); });
  EXPECT_THAT(echo.say_and_wait(make_text("wait")), IsError(ErrorCode::Cancelled));
}

TEST_F(ConnectionTest, AThousandCallsWaitAtOnceAndAreAnsweredLate) {
  EchoClient echo(*client_);
  std::size_t answered = 0;
  for (int i = 0; i < 1000; ++i) {
    echo.say(make_text("wait"), {.timeout = std::chrono::seconds(60)},
             [&](const Result<Text>& answer) {
               EXPECT_THAT(answer, IsOk());
               ++answered;
             });
  }
  run_until([&] { return service_.waiting.size() == 1000; });
  bool other = false;
  echo.say(make_text("now"), {}, [&](const Result<Text>&) { other = true; });
  run_until([&] { return other; });
  EXPECT_EQ(answered, 0U);
  for (auto& respond : service_.waiting) {
    respond(make_text("done"));
  }
  run_until([&] { return answered == 1000; });
}

TEST_F(ConnectionTest, StreamsInEveryDirection) {
  EchoClient echo(*client_);
  std::vector<std::int64_t> numbers;
  int ends = 0;
  Number three;
  three.set_number(3);
  echo.count(three, {},
             {.on_message = [&](const Number& number) { numbers.push_back(number.number()); },
              .on_end =
                  [&](const Result<>& result) {
                    EXPECT_THAT(result, IsOk());
                    ++ends;
                  }});
  auto sum = echo.sum_io({}, [&](const Result<Number>& result) {
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(result->number(), 6);
    ++ends;
  });
  EXPECT_THAT(sum.write(three), IsOk());
  EXPECT_THAT(sum.write(three), IsOk());
  EXPECT_THAT(sum.close_send(), IsOk());
  std::vector<std::string> texts;
  auto chat = echo.chat({}, {.on_message = [&](const Text& text) { texts.push_back(text.text()); },
                             .on_end = [&](const Result<>&) { ++ends; }});
  EXPECT_THAT(chat.write(make_text("a")), IsOk());
  EXPECT_THAT(chat.write(make_text("")), IsOk());
  run_until([&] { return texts.size() == 2; });
  EXPECT_THAT(chat.close_send(), IsOk());
  run_until([&] { return ends == 3; });
  EXPECT_THAT(numbers, ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(texts, ::testing::ElementsAre("a", ""));
  EXPECT_THAT(chat.write(make_text("late")), IsError(ErrorCode::Unavailable));
}

TEST_F(ConnectionTest, ABrokenConnectionFailsItsCalls) {
  EchoClient echo(*client_);
  std::optional<Result<Text>> answer;
  echo.say(make_text("wait"), {}, [&](Result<Text> result) { answer = std::move(result); });
  int closed = 0;
  client_->on_closed([&](const Error&) { ++closed; });
  run_until([&] { return service_.waiting.size() == 1; });
  int cancelled = 0;
  service_.waiting[0].on_cancelled([&] { ++cancelled; });
  server_->close();
  EXPECT_EQ(cancelled, 1);
  run_until([&] { return closed == 1; });
  ASSERT_TRUE(answer);
  EXPECT_THAT(*answer, IsError(ErrorCode::Unavailable));
  EXPECT_FALSE(client_->is_open());
  answer.reset();
  echo.say(make_text("x"), {}, [&](Result<Text> result) { answer = std::move(result); });
  EXPECT_FALSE(answer);  // never from inside the call
  run_until([&] { return answer.has_value(); });
  EXPECT_THAT(*answer, IsError(ErrorCode::Unavailable));
}

TEST_F(ConnectionTest, ClosingTheClientCancelsOnBothSides) {
  EchoClient echo(*client_);
  std::optional<Result<Text>> answer;
  echo.say(make_text("wait"), {}, [&](Result<Text> result) { answer = std::move(result); });
  run_until([&] { return service_.waiting.size() == 1; });
  int idle = 0;
  server_->on_idle([&] { ++idle; });
  client_->close();
  ASSERT_TRUE(answer);
  EXPECT_THAT(*answer, IsError(ErrorCode::Cancelled));
  run_until([&] { return idle == 1; });
  EXPECT_FALSE(service_.waiting[0].is_active());
}

TEST_F(ConnectionTest, ACallbackMayDestroyTheClient) {
  EchoClient echo(*client_);
  bool called = false;
  echo.say(make_text("a"), {}, [&](const Result<Text>&) {
    client_.reset();
    called = true;
  });
  run_until([&] { return called && server_->connections() == 0; });
}

TEST_F(ConnectionTest, AServiceMayDestroyTheServer) {
  class Killer : public test::EchoService {
   public:
    explicit Killer(std::unique_ptr<Server>& server) : server_(server) {}

    void say(Text request, Responder<Text> respond) override {
      server_.reset();
      respond(request);
    }

   private:
    std::unique_ptr<Server>& server_;
  };

  Killer killer(server_);
  server_->add_service(killer, "killer");
  EchoClient echo(*client_, "killer");
  EXPECT_THAT(echo.say_and_wait(make_text("x")), IsError(ErrorCode::Unavailable));
}

TEST_F(ConnectionTest, AReaderTooSlowIsDropped) {
  const os::UniqueFd raw = *os::connect_unix(path_);
  ASSERT_THAT(os::set_nonblocking(raw.get()), IsOk());
  run_until([&] { return server_->connections() == 2; });
  envelope::Request request;
  request.set_service(std::string(test::EchoService::kName));
  request.set_method("Say");
  request.set_payload(serialize(make_text(std::string(1 << 20, 'x'))));
  const std::string data = serialize(request);
  StreamId stream = 1;
  std::string rest;
  // Requests for 1 MiB each, answers never read: 16 MiB wait, then the connection ends.
  run_until([&] {
    if (rest.empty()) {
      rest = make_frame(FrameType::Request, stream, 0, as_bytes(data));
      stream += 2;
    }
    if (const auto written = os::try_send(raw.get(), as_bytes(rest)); written && *written) {
      rest.erase(0, **written);
    }
    return server_->connections() == 1;
  });
  EXPECT_LT(stream, 60U);
  EXPECT_THAT(EchoClient(*client_).say_and_wait(make_text("others live")), IsOk());
}

TEST_F(ConnectionTest, GarbageOnOneConnectionLeavesTheOthers) {
  os::UniqueFd raw = *os::connect_unix(path_);
  const std::string garbage(100'000, '\xa5');
  ASSERT_THAT(os::write_all(raw.get(), as_bytes(garbage)), IsOk());
  run_until([&] { return server_->connections() == 2; });
  raw.reset();
  run_until([&] { return server_->connections() == 1; });
  EXPECT_THAT(EchoClient(*client_).say_and_wait(make_text("fine")), IsOk());
}

TEST_F(ConnectionTest, ConnectionsAreBounded) {
  Server small(*loop_, {.limits = {}, .max_connections = 2});
  small.add_service(service_);
  const std::string path = path_ + "-small";
  ASSERT_THAT(small.listen(*os::listen_unix(path)), IsOk());
  constexpr std::size_t kClients = 3;
  std::vector<std::unique_ptr<Client>> clients;
  clients.reserve(kClients);
  while (clients.size() < kClients) {
    clients.push_back(*Client::connect(*loop_, path));
  }
  EXPECT_THAT(EchoClient(*clients[2]).say_and_wait(make_text("x")),
              IsError(ErrorCode::Unavailable));
  EXPECT_THAT(EchoClient(*clients[0]).say_and_wait(make_text("x")), IsOk());
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace bulkhead::ttrpc
