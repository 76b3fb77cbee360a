// The publisher against a server that stands for containerd.
#include "bulkhead/shim/events.h"

#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent_client/scripted_guest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"

#include "containerd/events/task.pb.h"
#include "containerd/services/events/ttrpc/v1/events.ttrpc.h"

namespace bulkhead::shim {
namespace {

namespace events_api = containerd::services::events::ttrpc::v1;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Containerd final : public events_api::EventsService {
 public:
  void forward(events_api::ForwardRequest request,
               ttrpc::Responder<google::protobuf::Empty> respond) override {
    if (refusals > 0) {
      --refusals;
      respond(Error(ErrorCode::Unavailable, "not now"));
      return;
    }
    envelopes.push_back(request.envelope());
    respond(google::protobuf::Empty());
  }

  int refusals = 0;
  std::vector<containerd::types::Envelope> envelopes;
};

class EventsTest : public ::testing::Test {
 protected:
  EventsTest()
      : loop_(*os::EventLoop::create()),
        directory_(::testing::TempDir() + "bulkhead-events-" + std::to_string(::getpid())),
        socket_(directory_ + "/s") {
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_THAT(os::make_directories(directory_), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  void listen() {
    server_ = std::make_unique<ttrpc::Server>(*loop_);
    server_->add_service(containerd_);
    ASSERT_THAT(server_->listen(*os::listen_unix(socket_)), IsOk());
  }

  PublisherOptions options() {
    return {.name_space = "k8s.io",
            .address = "unix://" + socket_,
            .file = "",
            .timeout = milliseconds(2000),
            .pause = milliseconds(1)};
  }

  static void publish(EventPublisher& publisher, const std::string& topic) {
    containerd::events::TaskStart event;
    event.set_container_id("c1");
    publisher.publish(topic, "containerd.events.TaskStart", event, "c1 \"started\"");
  }

  template <class Condition>
  void until(Condition condition) {
    agent_client::run_until(*loop_, condition);
  }

  std::vector<std::string> topics() const {
    std::vector<std::string> topics;
    topics.reserve(containerd_.envelopes.size());
    for (const auto& envelope : containerd_.envelopes) {
      topics.push_back(envelope.topic());
    }
    return topics;
  }

  std::unique_ptr<os::EventLoop> loop_;
  std::string directory_;
  std::string socket_;
  Containerd containerd_;
  std::unique_ptr<ttrpc::Server> server_;
};

TEST_F(EventsTest, ArriveInOrder) {
  listen();
  EventPublisher publisher(*loop_, options());
  bool empty = false;
  publisher.on_empty([&] { empty = true; });
  publish(publisher, "/tasks/create");
  publish(publisher, "/tasks/start");
  publish(publisher, "/tasks/exit");
  until([&] { return empty; });
  EXPECT_THAT(topics(), ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit"));
  const auto& envelope = containerd_.envelopes[0];
  EXPECT_EQ(envelope.namespace_(), "k8s.io");
  EXPECT_EQ(envelope.event().type_url(), "containerd.events.TaskStart");
  EXPECT_GT(envelope.timestamp().seconds(), 1'700'000'000);
  containerd::events::TaskStart event;
  ASSERT_TRUE(event.ParseFromString(envelope.event().value()));
  EXPECT_EQ(event.container_id(), "c1");
}

TEST_F(EventsTest, AreTriedAgain) {
  listen();
  containerd_.refusals = 3;
  EventPublisher publisher(*loop_, options());
  publish(publisher, "/tasks/create");
  publish(publisher, "/tasks/start");
  until([&] { return publisher.queued() == 0; });
  EXPECT_THAT(topics(), ElementsAre("/tasks/create", "/tasks/start"));
}

TEST_F(EventsTest, WaitForContainerdToComeBack) {
  EventPublisher publisher(*loop_, options());
  publish(publisher, "/tasks/create");
  ASSERT_THAT(loop_->run_once(milliseconds(1)), IsOk());
  listen();
  until([&] { return publisher.queued() == 0; });
  EXPECT_THAT(topics(), ElementsAre("/tasks/create"));
}

TEST_F(EventsTest, AreGivenUpWhenNobodyEverListens) {
  EventPublisher publisher(*loop_, options());
  publish(publisher, "/tasks/create");
  publish(publisher, "/tasks/start");
  until([&] { return publisher.queued() == 0; });
}

TEST_F(EventsTest, AreBounded) {
  auto few = options();
  few.most_queued = 3;
  EventPublisher publisher(*loop_, few);
  for (int i = 0; i < 10; ++i) {
    publish(publisher, "/tasks/start");
  }
  EXPECT_EQ(publisher.queued(), 3);
}

TEST_F(EventsTest, GoToAFileWithoutContainerd) {
  EventPublisher publisher(*loop_,
                           {.name_space = "bulkhead", .address = "", .file = directory_ + "/log"});
  publish(publisher, "/tasks/create");
  publish(publisher, "/tasks/start");
  EXPECT_EQ(publisher.queued(), 0);
  const std::string text = *os::read_file(directory_ + "/log");
  EXPECT_THAT(text, HasSubstr(R"("topic":"/tasks/create")"));
  EXPECT_THAT(text, HasSubstr(R"("event":"c1 \"started\"")"));
}

}  // namespace
}  // namespace bulkhead::shim
