// Two connections over a socket pair and one loop, and ttrpc on a stream of theirs.
#include "bulkhead/mux/connection.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/mux/rpc_transport.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/client.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/test/echo.pb.h"
#include "bulkhead/ttrpc/test/echo.ttrpc.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::mux {
namespace {

using std::chrono::milliseconds;
using ttrpc::test::Text;

class EchoService : public ttrpc::test::EchoService {
 public:
  void say(Text request, ttrpc::Responder<Text> respond) override {
    if (request.text() == "wait") {
      waiting.push_back(std::move(respond));
    } else {
      respond(request);
    }
  }

  std::vector<ttrpc::Responder<Text>> waiting;
};

Text make_text(std::string content) {
  Text text;
  text.set_text(std::move(content));
  return text;
}

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() : loop_(*os::EventLoop::create()) {
    auto [host_end, guest_end] = *os::make_socket_pair();
    host_ = *Connection::create(
        *loop_, std::move(host_end), Role::Host,
        {.on_ready = [this] { ++host_ready_; },
         .on_open = nullptr,
         .on_broken = [this](const Error& error) { broken_.push_back(error.code()); }});
    guest_ = *Connection::create(*loop_, std::move(guest_end), Role::Guest,
                                 {.on_ready = nullptr,
                                  .on_open = [this](StreamId id) { on_open(id); },
                                  .on_broken = [this](const Error&) { ++guest_broken_; }});
    server_ = std::make_unique<ttrpc::Server>(*loop_);
    server_->add_service(service_);
  }

  void on_open(StreamId id) {
    opened_.push_back(id);
    if (id == kRpcStream) {
      EXPECT_THAT(
          server_->serve(make_rpc_transport(guest_->weak_session(), id, StreamOrigin::Attach)),
          IsOk());
    }
  }

  void connect() {
    client_ = *ttrpc::Client::create(
        *loop_, make_rpc_transport(host_->weak_session(), kRpcStream, StreamOrigin::Open));
  }

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
  std::unique_ptr<Connection> host_;
  std::unique_ptr<Connection> guest_;
  std::unique_ptr<ttrpc::Server> server_;
  std::unique_ptr<ttrpc::Client> client_;
  std::vector<StreamId> opened_;
  std::vector<ErrorCode> broken_;
  int host_ready_ = 0;
  int guest_broken_ = 0;
};

TEST_F(ConnectionTest, CarriesRpc) {
  connect();
  ttrpc::test::EchoClient echo(*client_);
  EXPECT_THAT(echo.say_and_wait(make_text("hello")), IsOk());
  const std::string big(4'000'000, 'x');
  const auto answer = echo.say_and_wait(make_text(big));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->text(), big);
  EXPECT_EQ(host_ready_, 1);
}

TEST_F(ConnectionTest, AThousandCallsOverOneStream) {
  connect();
  ttrpc::test::EchoClient echo(*client_);
  std::size_t answered = 0;
  for (int i = 0; i < 1000; ++i) {
    echo.say(make_text("wait"), {}, [&](const Result<Text>& answer) {
      EXPECT_THAT(answer, IsOk());
      ++answered;
    });
  }
  run_until([&] { return service_.waiting.size() == 1000; });
  for (auto& respond : service_.waiting) {
    respond(make_text("done"));
  }
  run_until([&] { return answered == 1000; });
}

TEST_F(ConnectionTest, MovesBulkDataWithoutACopyInUserSpace) {
  // host: zero-copy writes in turns; guest: counts.
  constexpr std::size_t kTotal = 16U << 20U;
  std::size_t sent = 0;
  std::size_t received = 0;
  bool wrong = false;
  bool ended = false;
  Session& session = host_->session();
  ASSERT_THAT(session.open(3, {.on_data = nullptr,
                               .on_end = nullptr,
                               .on_writable =
                                   [&] {
                                     const MutableBytes room = session.reserve(3);
                                     std::size_t at = sent;
                                     std::ranges::generate(room,
                                                           [&] { return std::byte(at++ >> 8U); });
                                     session.commit(3, room.size());
                                     sent += room.size();
                                     if (sent < kTotal) {
                                       session.want_write(3);
                                     } else {
                                       session.end(3);
                                     }
                                   },
                               .on_reset = nullptr}),
              IsOk());
  session.want_write(3);
  run_until([&] { return !opened_.empty(); });
  ASSERT_THAT(guest_->session().attach(3, {.on_data =
                                               [&](Bytes bytes) {
                                                 for (const std::byte byte : bytes) {
                                                   wrong =
                                                       wrong || byte != std::byte(received >> 8U);
                                                   ++received;
                                                 }
                                                 guest_->session().consume(3, bytes.size());
                                               },
                                           .on_end = [&] { ended = true; },
                                           .on_writable = nullptr,
                                           .on_reset = nullptr}),
              IsOk());
  run_until([&] { return ended; });
  EXPECT_EQ(received, sent);
  EXPECT_FALSE(wrong);
}

TEST_F(ConnectionTest, RpcIsAnsweredWhileBulkDataFlows) {
  connect();
  Session& session = host_->session();
  ASSERT_THAT(session.open(3, {.on_data = nullptr,
                               .on_end = nullptr,
                               .on_writable =
                                   [&] {
                                     session.commit(3, session.reserve(3).size());
                                     session.want_write(3);
                                   },
                               .on_reset = nullptr}),
              IsOk());
  session.want_write(3);
  run_until([&] { return opened_.size() == 2; });
  ASSERT_THAT(guest_->session().attach(3, {}), IsOk());
  ttrpc::test::EchoClient echo(*client_);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(echo.say_and_wait(make_text("x"), {.timeout = std::chrono::seconds(20)}), IsOk());
  }
}

TEST_F(ConnectionTest, AClosedChannelBreaksEverything) {
  connect();
  ttrpc::test::EchoClient echo(*client_);
  std::optional<Result<Text>> answer;
  echo.say(make_text("wait"), {}, [&](Result<Text> result) { answer = std::move(result); });
  run_until([&] { return service_.waiting.size() == 1; });
  guest_.reset();
  run_until([&] { return !broken_.empty(); });
  EXPECT_THAT(broken_, ::testing::ElementsAre(ErrorCode::Unavailable));
  ASSERT_TRUE(answer);
  EXPECT_THAT(*answer, IsError(ErrorCode::Unavailable));
  EXPECT_FALSE(client_->is_open());
}

TEST_F(ConnectionTest, AGuestThatSendsGarbageIsCutOff) {
  auto ends = *os::make_socket_pair();
  const os::UniqueFd guest_end = std::move(ends.second);
  std::vector<ErrorCode> broken;
  const auto host = *Connection::create(
      *loop_, std::move(ends.first), Role::Host,
      {.on_ready = nullptr, .on_open = nullptr, .on_broken = [&](const Error& error) {
         broken.push_back(error.code());
       }});
  ASSERT_THAT(os::set_nonblocking(guest_end.get()), IsOk());
  const std::string noise(65536, 'z');
  run_until([&] {
    std::ignore = os::try_send(guest_end.get(), as_bytes(noise));
    return !broken.empty();
  });
  EXPECT_THAT(broken, ::testing::ElementsAre(ErrorCode::Corrupt));
}

TEST_F(ConnectionTest, AnyCallbackMayDestroyTheConnection) {
  connect();
  ttrpc::test::EchoClient echo(*client_);
  bool answered = false;
  echo.say(make_text("x"), {}, [&](const Result<Text>&) {
    host_.reset();
    client_.reset();
    answered = true;
  });
  run_until([&] { return answered && guest_broken_ == 1; });
  EXPECT_TRUE(broken_.empty());
}

TEST_F(ConnectionTest, ABrokenCallbackMayDestroyTheConnection) {
  auto [host_end, guest_end] = *os::make_socket_pair();
  std::unique_ptr<Connection> host;
  host = *Connection::create(
      *loop_, std::move(host_end), Role::Host,
      {.on_ready = nullptr, .on_open = nullptr, .on_broken = [&](const Error&) { host.reset(); }});
  guest_end.reset();
  run_until([&] { return host == nullptr; });
}

TEST_F(ConnectionTest, ATransportMayOutliveItsConnection) {
  auto transport = make_rpc_transport(host_->weak_session(), 3, StreamOrigin::Open);
  ASSERT_THAT(transport->start([](Bytes) {}, [](const Error&) {}), IsOk());
  host_.reset();
  std::ignore = transport->send("late");
  transport.reset();
}

}  // namespace
}  // namespace bulkhead::mux
