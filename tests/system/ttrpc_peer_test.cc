// Our ttrpc against containerd's own: a private containerd, our client's calls, and the same bad
// input for its server and for ours.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/client.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/envelope.pb.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"

#include "containerd/events/task.pb.h"
#include "containerd/services/events/ttrpc/v1/events.pb.h"
#include "containerd/services/events/ttrpc/v1/events.ttrpc.h"

namespace bulkhead::ttrpc {
namespace {

namespace events = containerd::services::events::ttrpc::v1;

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto kPatience = seconds(30);

class AcceptingEvents : public events::EventsService {
 public:
  void forward(events::ForwardRequest request,
               Responder<google::protobuf::Empty> respond) override {
    if (request.envelope().topic().empty()) {
      respond(Error(ErrorCode::Invalid, "no topic"));
    } else {
      respond(google::protobuf::Empty());
    }
  }
};

class TtrpcPeerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!os::path_exists("/usr/bin/containerd") && !os::path_exists("/usr/local/bin/containerd")) {
      GTEST_SKIP() << "containerd is not installed";
    }
    if (::geteuid() != 0) {
      GTEST_SKIP() << "containerd needs root";
    }
    directory_ = ::testing::TempDir() + "bulkhead-peer-" + std::to_string(::getpid());
    ASSERT_THAT(os::make_directories(directory_), IsOk());
    // Only what serves events.
    const std::string config = fmt::format(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n"
        "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\", "
        "\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", "
        "\"io.containerd.snapshotter.v1.zfs\", \"io.containerd.internal.v1.opt\"]\n"
        "[grpc]\n  address = \"{0}/c.sock\"\n[ttrpc]\n  address = \"{0}/c.sock.ttrpc\"\n",
        directory_);
    ASSERT_THAT(os::write_file_atomically(directory_ + "/config.toml", config), IsOk());
    log_ = *os::open_file(directory_ + "/log", O_WRONLY | O_CREAT);
    auto spawned = os::spawn({.arguments = {"containerd", "--config", directory_ + "/config.toml"},
                              .descriptors = {{.source = log_.get(), .target = 1},
                                              {.source = log_.get(), .target = 2}}});
    ASSERT_THAT(spawned, IsOk());
    containerd_.emplace(*std::move(spawned));
    loop_ = *os::EventLoop::create();
    const auto limit = steady_clock::now() + kPatience;
    while (client_ == nullptr && steady_clock::now() < limit) {
      if (auto connected = Client::connect(*loop_, address())) {
        client_ = *std::move(connected);
      } else {
        std::this_thread::sleep_for(milliseconds(20));
      }
    }
    ASSERT_NE(client_, nullptr) << *os::read_file(directory_ + "/log");
  }

  void TearDown() override {
    client_.reset();
    if (containerd_) {
      EXPECT_THAT(containerd_->kill(SIGTERM), IsOk());
      EXPECT_THAT(containerd_->wait(), IsOk());
    }
    if (!directory_.empty()) {
      EXPECT_THAT(os::remove_tree(directory_), IsOk());
    }
  }

  [[nodiscard]] std::string address() const { return directory_ + "/c.sock.ttrpc"; }

  static events::ForwardRequest out_of_memory(const std::string& container) {
    events::ForwardRequest request;
    auto* envelope = request.mutable_envelope();
    envelope->mutable_timestamp()->set_seconds(1'700'000'000);
    envelope->set_namespace_("peer");
    envelope->set_topic("/tasks/oom");
    containerd::events::TaskOOM event;
    event.set_container_id(container);
    envelope->mutable_event()->set_type_url("containerd.events.TaskOOM");
    envelope->mutable_event()->set_value(event.SerializeAsString());
    return request;
  }

  std::string directory_;
  os::UniqueFd log_;
  std::optional<os::Process> containerd_;
  std::unique_ptr<os::EventLoop> loop_;
  std::unique_ptr<Client> client_;
};

TEST_F(TtrpcPeerTest, ContainerdPublishesEventsThatWeForward) {
  const os::UniqueFd output = *os::open_file(directory_ + "/events", O_WRONLY | O_CREAT);
  auto ctr = *os::spawn({.arguments = {"ctr", "--address", directory_ + "/c.sock", "events"},
                         .descriptors = {{.source = output.get(), .target = 1}}});
  events::EventsClient client(*client_);
  const CallOptions options{.timeout = seconds(5),
                            .metadata = {{std::string(kNamespaceKey), "peer"}}};
  std::string seen;
  const auto limit = steady_clock::now() + kPatience;
  // ctr subscribes some time after it was started.
  while (!seen.contains("the-container") && steady_clock::now() < limit) {
    ASSERT_THAT(client.forward_and_wait(out_of_memory("the-container"), options), IsOk());
    std::this_thread::sleep_for(milliseconds(50));
    seen = *os::read_file(directory_ + "/events");
  }
  EXPECT_THAT(seen, ::testing::HasSubstr("peer /tasks/oom {\"container_id\":\"the-container\"}"));
  EXPECT_THAT(ctr.kill(SIGKILL), IsOk());
  EXPECT_THAT(ctr.wait(), IsOk());
}

TEST_F(TtrpcPeerTest, ContainerdsErrorsArrive) {
  events::EventsClient nobody(*client_, "containerd.services.nobody.v1.Nobody");
  EXPECT_THAT(nobody.forward_and_wait(out_of_memory("x"), {.timeout = seconds(5)}),
              IsError(ErrorCode::Unsupported));
  events::EventsClient client(*client_);
  EXPECT_THAT(client.forward_and_wait({}, {.timeout = seconds(5)}),
              ::testing::Not(IsOk()));  // no envelope
}

TEST_F(TtrpcPeerTest, AThousandCallsAtOnce) {
  events::EventsClient client(*client_);
  int answered = 0;
  for (int i = 0; i < 1000; ++i) {
    client.forward(out_of_memory("c" + std::to_string(i)), {.timeout = kPatience},
                   [&](const auto& result) {
                     EXPECT_THAT(result, IsOk());
                     ++answered;
                   });
  }
  const auto limit = steady_clock::now() + kPatience;
  while (answered < 1000 && steady_clock::now() < limit) {
    ASSERT_THAT(loop_->run_once(milliseconds(100)), IsOk());
  }
  EXPECT_EQ(answered, 1000);
}

std::string request_data(const std::string& service, const std::string& method,
                         const std::string& payload) {
  envelope::Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(payload);
  return serialize(request);
}

/// "stream type code" of every answer, until `count` have come or nothing comes for a while.
std::vector<std::string> answers(os::EventLoop& loop, const std::string& path,
                                 const std::string& bytes, std::size_t count) {
  const os::UniqueFd socket = *os::connect_unix(path);
  EXPECT_THAT(os::set_nonblocking(socket.get()), IsOk());
  std::vector<std::string> seen;
  FrameReader reader;
  Bytes rest = as_bytes(bytes);
  const auto limit = steady_clock::now() + seconds(10);
  while (seen.size() < count && steady_clock::now() < limit) {
    if (const auto sent = os::try_send(socket.get(), rest); sent && *sent && !rest.empty()) {
      rest = rest.subspan(**sent);
    }
    EXPECT_THAT(loop.run_once(milliseconds(5)), IsOk());
    std::vector<std::byte> buffer(65536);
    const auto n = os::try_read(socket.get(), buffer);
    if (!n || (*n && **n == 0)) {
      seen.emplace_back("closed");
      break;
    }
    reader.feed(Bytes(buffer).first(n->value_or(0)),
                [&](const FrameHeader& header, Bytes data, bool) {
                  envelope::Response response;
                  EXPECT_TRUE(parse(response, data));
                  seen.push_back(fmt::format("{} {} {}", std::uint32_t{header.stream}, header.type,
                                             response.status().code()));
                  return true;
                });
  }
  return seen;
}

TEST_F(TtrpcPeerTest, OurServerAnswersBadInputAsContainerdDoes) {
  AcceptingEvents service;
  Server server(*loop_);
  server.add_service(service);
  const std::string ours = directory_ + "/ours.sock";
  ASSERT_THAT(server.listen(*os::listen_unix(ours)), IsOk());

  const std::string name(events::EventsService::kName);
  const std::string good = request_data(name, "Forward", serialize(out_of_memory("x")));
  const auto frame = [](int type, StreamId stream, const std::string& data) {
    return make_frame(FrameType(type), stream, 0, as_bytes(data));
  };
  std::string oversized = frame(1, 1, {});
  oversized[1] = 0x40;
  oversized[3] = 0x01;
  oversized += std::string(kMaxDataSize + 1, 'x');

  struct Case {
    const char* what;
    std::string bytes;
    std::size_t answers;
  };

  const std::vector<Case> cases = {
      {"a good request", frame(1, 1, good), 1},
      {"even stream", frame(1, 2, good) + frame(1, 3, good), 2},
      {"stream 0", frame(1, 0, good), 1},
      {"oversized", oversized + frame(1, 3, good), 2},
      {"not a request", frame(1, 1, "\xff\xff\xff") + frame(1, 3, good), 2},
      {"unknown service", frame(1, 1, request_data("no.Such", "Forward", "")), 1},
      {"unknown method", frame(1, 1, request_data(name, "Backward", "")), 1},
      {"unknown types", frame(0, 1, good) + frame(9, 1, good) + frame(1, 1, good), 1},
      {"empty request", frame(1, 1, ""), 1},
  };
  for (const Case& test : cases) {
    auto theirs = answers(*loop_, address(), test.bytes, test.answers);
    auto own = answers(*loop_, ours, test.bytes, test.answers);
    // Answers come in any order.
    EXPECT_THAT(own, ::testing::UnorderedElementsAreArray(theirs)) << test.what;
    EXPECT_EQ(own.size(), test.answers) << test.what;
  }
}

}  // namespace
}  // namespace bulkhead::ttrpc
