#include "bulkhead/vmm/qemu/qmp_client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qmp_protocol.h"

namespace bulkhead::vmm::qemu {
namespace {

/// The other end: a scripted QEMU.
class QmpClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = os::EventLoop::create();
    ASSERT_THAT(loop, IsOk());
    loop_ = *std::move(loop);
    auto sockets = os::make_socket_pair();
    ASSERT_THAT(sockets, IsOk());
    peer_ = std::move(sockets->second);
    QmpClient::Callbacks callbacks;
    callbacks.event = [this](const QmpEvent& event) { event_ = event.name; };
    callbacks.closed = [this](const Error& error) { closed_ = error.code(); };
    auto client = QmpClient::create(*loop_, std::move(sockets->first), std::move(callbacks));
    ASSERT_THAT(client, IsOk());
    client_ = *std::move(client);
  }

  void say(std::string_view text) {
    ASSERT_THAT(os::write_all(peer_.get(), as_bytes(text)), IsOk());
    turn();
  }

  void turn() { ASSERT_THAT(loop_->run_once(std::chrono::milliseconds(0)), IsOk()); }

  std::string heard() {
    std::array<std::byte, 4096> buffer{};
    const auto size = os::read_some(peer_.get(), buffer);
    return size ? std::string(as_text(std::span(buffer).first(*size))) : std::string();
  }

  void negotiate() {
    say("{\"QMP\": {}}\r\n");
    EXPECT_THAT(heard(), testing::HasSubstr("qmp_capabilities"));
    say("{\"return\": {}, \"id\": 1}\r\n");
  }

  std::unique_ptr<os::EventLoop> loop_;
  os::UniqueFd peer_;
  std::unique_ptr<QmpClient> client_;
  std::string event_;
  std::optional<ErrorCode> closed_;
};

TEST_F(QmpClientTest, CallsAndIsAnswered) {
  negotiate();
  std::optional<Result<AcceleratorStatus>> status;
  client_->query_kvm([&](Result<AcceleratorStatus> result) { status = std::move(result); });
  EXPECT_EQ(heard(), "{\"execute\":\"query-kvm\",\"id\":2}\r\n");
  say("{\"return\": {\"enabled\": true, \"present\": true}, \"id\": 2}\r\n");
  ASSERT_TRUE(status);
  ASSERT_THAT(*status, IsOk());
  EXPECT_TRUE((*status)->kvm_is_enabled);
  client_->query_kvm([&](Result<AcceleratorStatus> result) { status = std::move(result); });
  say("{\"return\": {\"enabled\": 1}, \"id\": 3}\r\n");
  EXPECT_THAT(*status, IsError(ErrorCode::Invalid));
}

TEST_F(QmpClientTest, HearsEvents) {
  negotiate();
  say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n");
  EXPECT_EQ(event_, "SHUTDOWN");
}

TEST_F(QmpClientTest, EveryCallbackIsCalledWhenThePeerGoes) {
  std::optional<ErrorCode> code;
  client_->stop([&](Result<> result) { code = result.error().code(); });
  peer_.reset();
  turn();
  EXPECT_EQ(code, ErrorCode::Unavailable);
  EXPECT_EQ(closed_, ErrorCode::Unavailable);
  // And later ones, from the loop.
  std::optional<ErrorCode> later;
  client_->stop([&](Result<> result) { later = result.error().code(); });
  EXPECT_FALSE(later);
  turn();
  EXPECT_EQ(later, ErrorCode::Unavailable);
}

TEST_F(QmpClientTest, SavesIntoAFileThatQemuIsGiven) {
  negotiate();
  const auto file = os::make_memfd("state");
  ASSERT_THAT(file, IsOk());
  std::optional<Result<>> saved;
  client_->save(file->get(), [&](Result<> result) { saved = std::move(result); });
  std::array<std::byte, 4096> buffer{};
  std::string text;
  std::vector<os::UniqueFd> fds;
  while (std::ranges::count(text, '\n') < 4) {
    auto received = os::receive_with_fds(peer_.get(), buffer);
    ASSERT_THAT(received, IsOk());
    text += as_text(std::span(buffer).first(received->size));
    std::ranges::move(received->fds, std::back_inserter(fds));
  }
  EXPECT_EQ(fds.size(), 1);
  EXPECT_EQ(text,
            "\n"
            "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"},\"id\":2}\r\n"
            "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
            "[{\"capability\":\"x-ignore-shared\",\"state\":true}]},\"id\":3}\r\n"
            "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:state\"},\"id\":4}\r\n");
  say("{\"return\": {}, \"id\": 2}\r\n{\"return\": {}, \"id\": 3}\r\n{\"return\": {}, \"id\": "
      "4}\r\n");
  ASSERT_TRUE(saved);
  EXPECT_THAT(*saved, IsOk());
}

TEST_F(QmpClientTest, ExchangesTheFileOfADisk) {
  negotiate();
  const auto file = os::make_memfd("disk");
  ASSERT_THAT(file, IsOk());
  std::optional<Result<>> exchanged;
  client_->exchange_disk(1, file->get(), Access::ReadWrite,
                         [&](Result<> result) { exchanged = std::move(result); });
  std::array<std::byte, 4096> buffer{};
  std::string text;
  std::vector<os::UniqueFd> fds;
  while (std::ranges::count(text, '\n') < 6) {
    auto received = os::receive_with_fds(peer_.get(), buffer);
    ASSERT_THAT(received, IsOk());
    text += as_text(std::span(buffer).first(received->size));
    std::ranges::move(received->fds, std::back_inserter(fds));
  }
  EXPECT_EQ(fds.size(), 1);
  EXPECT_THAT(text, testing::StartsWith("\n{\"execute\":\"add-fd\""));
  EXPECT_THAT(text, testing::HasSubstr("\"filename\":\"/dev/fdset/31\""));
  EXPECT_THAT(text, testing::HasSubstr("\"node-name\":\"disk1\""));
  EXPECT_THAT(text, testing::HasSubstr("\"file\":\"exchanged1\""));
  EXPECT_THAT(text, testing::HasSubstr("{\"node-name\":\"file1\"}"));
  EXPECT_THAT(text, testing::HasSubstr("\"remove-fd\",\"arguments\":{\"fdset-id\":2}"));
  // What counts is the command that puts it in its place.
  say("{\"return\": {}, \"id\": 2}\r\n{\"return\": {}, \"id\": 3}\r\n");
  EXPECT_FALSE(exchanged);
  say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no node\"}, \"id\": 4}\r\n");
  ASSERT_TRUE(exchanged);
  EXPECT_THAT(*exchanged, IsError(ErrorCode::Remote));
}

TEST_F(QmpClientTest, RestoresFromADescriptorOfItsOwnAndTellsWhyNot) {
  negotiate();
  std::optional<Result<>> restored;
  client_->restore(12, [&](Result<> result) { restored = std::move(result); });
  EXPECT_THAT(heard(),
              testing::HasSubstr("\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:12\"}"));
  say("{\"return\": {}, \"id\": 2}\r\n"
      "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such fd\"}, \"id\": 3}\r\n");
  ASSERT_TRUE(restored);
  EXPECT_THAT(*restored, IsError(ErrorCode::Remote));
}

TEST_F(QmpClientTest, AsksWhyASaveFailed) {
  negotiate();
  std::optional<Result<std::string>> reason;
  client_->query_save_error([&](Result<std::string> result) { reason = std::move(result); });
  say("{\"return\": {\"status\": \"failed\", \"error-desc\": \"disk full\"}, \"id\": 2}\r\n");
  ASSERT_TRUE(reason);
  EXPECT_THAT(*reason, IsOkAnd("disk full"));
}

TEST_F(QmpClientTest, APeerThatTalksNonsenseIsClosed) {
  say("nonsense\r\n");
  EXPECT_EQ(closed_, ErrorCode::Corrupt);
}

TEST_F(QmpClientTest, DestroyingItAnswersWhatIsPending) {
  std::optional<ErrorCode> code;
  client_->cont([&](Result<> result) { code = result.error().code(); });
  client_.reset();
  EXPECT_EQ(code, ErrorCode::Unavailable);
  EXPECT_FALSE(closed_);
}

TEST_F(QmpClientTest, RefusesMoreThanItCanRememberFromTheLoop) {
  int answers = 0;
  for (std::size_t i = 0; i <= QmpProtocol::kMostPending; ++i) {
    client_->stop([&](const Result<>&) { ++answers; });
  }
  EXPECT_EQ(answers, 0);
  turn();
  EXPECT_EQ(answers, 1);
  client_.reset();
  EXPECT_EQ(answers, static_cast<int>(QmpProtocol::kMostPending) + 1);
}

TEST_F(QmpClientTest, DrainReadsTheLastWords) {
  negotiate();
  ASSERT_THAT(os::write_all(peer_.get(), as_bytes("{\"event\": \"SHUTDOWN\"}\r\n")), IsOk());
  peer_.reset();
  client_->drain();
  EXPECT_EQ(event_, "SHUTDOWN");
}

}  // namespace
}  // namespace bulkhead::vmm::qemu
