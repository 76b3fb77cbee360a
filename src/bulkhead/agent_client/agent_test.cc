#include "bulkhead/agent_client/agent.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/agent_client/scripted_guest.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/service.h"

namespace bulkhead::agent_client {
namespace {

using std::chrono::milliseconds;

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() : loop_(*os::EventLoop::create()) {
    auto [host, guest] = *os::make_socket_pair();
    guest_end_ = std::move(guest);
    agent_ = *Agent::create(
        *loop_, std::move(host),
        {.on_ready = [this] { ++ready_; },
         .on_lost = [this](const Error& error) { lost_.push_back(error); }},
        {.start = milliseconds(2000), .control = milliseconds(100), .shutdown = milliseconds(100)});
  }

  void boot() { guest_ = std::make_unique<ScriptedGuest>(*loop_, std::move(guest_end_)); }

  template <class Condition>
  void until(Condition condition) {
    run_until(*loop_, condition);
  }

  std::unique_ptr<os::EventLoop> loop_;
  os::UniqueFd guest_end_;
  std::unique_ptr<ScriptedGuest> guest_;
  std::unique_ptr<Agent> agent_;
  int ready_ = 0;
  std::vector<Error> lost_;
};

TEST_F(AgentTest, ARequestWaitsForAGuestThatIsStillBooting) {
  std::optional<Result<StartOutcome>> outcome;
  agent::v1::StartRequest request;
  request.set_container_id("c");
  agent_->start(request, [&](Result<StartOutcome> result) { outcome = std::move(result); });
  ASSERT_THAT(loop_->run_once(milliseconds(0)), IsOk());
  EXPECT_FALSE(agent_->is_ready());
  boot();
  until([&] { return outcome.has_value(); });
  EXPECT_THAT(*outcome, IsOk());
  EXPECT_EQ((*outcome)->pid, 12);
  EXPECT_EQ(ready_, 1);
  EXPECT_TRUE(agent_->is_ready());
  EXPECT_EQ(guest_->started->container_id(), "c");
}

TEST_F(AgentTest, AGuestThatNeverAnswersTimesOut) {
  boot();
  std::optional<Result<std::vector<std::uint32_t>>> pids;
  std::vector<ttrpc::Responder<agent::v1::ProcessesResponse>> kept;
  guest_->on_processes = [&](auto respond) { kept.push_back(std::move(respond)); };
  agent_->processes([&](auto result) { pids = std::move(result); });
  until([&] { return pids.has_value(); });
  EXPECT_THAT(*pids, IsError(ErrorCode::Timeout));
}

TEST_F(AgentTest, AnAnswerThatCannotBeIsCorrupt) {
  boot();
  std::optional<Result<ProcessEnd>> end;
  agent_->wait("", [&](auto result) { end = std::move(result); });
  until([&] { return guest_->waiting.contains(""); });
  guest_->end("", UINT32_MAX);
  until([&] { return end.has_value(); });
  EXPECT_THAT(*end, IsError(ErrorCode::Corrupt));
}

TEST_F(AgentTest, TextOfAnErrorIsMadePrintable) {
  boot();
  std::optional<Result<>> done;
  guest_->on_signal = [](auto respond) {
    respond(Error(ErrorCode::Internal, "\x1b]0;owned\a\n" + std::string(100'000, 'x')));
  };
  agent_->signal("", 9, Agent::SignalScope::Process, [&](const auto& result) { done = result; });
  until([&] { return done.has_value(); });
  ASSERT_FALSE(done->has_value());
  EXPECT_EQ(done->error().message().find('\x1b'), std::string::npos);
  EXPECT_EQ(done->error().message().find('\n'), std::string::npos);
  EXPECT_LE(done->error().message().size(), 4096);
}

TEST_F(AgentTest, CallsFailWhenTheMachineIsGone) {
  boot();
  std::optional<Result<ProcessEnd>> end;
  agent_->wait("", [&](auto result) { end = std::move(result); });
  until([&] { return guest_->waiting.contains(""); });
  guest_->vanish();
  until([&] { return end.has_value() && !lost_.empty(); });
  EXPECT_THAT(*end, IsError(ErrorCode::Unavailable));
  EXPECT_EQ(lost_.size(), 1);
  EXPECT_EQ(lost_[0].code(), ErrorCode::Unavailable);
  EXPECT_FALSE(agent_->is_ready());
}

TEST_F(AgentTest, NoiseBeforeTheGreetingIsPassedOver) {
  ASSERT_THAT(os::write_all(guest_end_.get(), as_bytes("boot messages \x01\x02\x03")), IsOk());
  boot();
  until([&] { return ready_ == 1; });
  EXPECT_TRUE(lost_.empty());
}

TEST_F(AgentTest, AGuestThatBreaksTheMultiplexerIsLost) {
  const os::UniqueFd same_channel = *os::duplicate(guest_end_.get());
  boot();
  until([&] { return ready_ == 1; });
  ASSERT_THAT(os::write_all(same_channel.get(), as_bytes(std::string(64, '\xff'))), IsOk());
  until([&] { return !lost_.empty(); });
  EXPECT_EQ(lost_[0].code(), ErrorCode::Corrupt);
  EXPECT_FALSE(agent_->is_ready());
}

TEST_F(AgentTest, StreamIdsAreOddAndNeverTwiceTheSame) {
  EXPECT_EQ(agent_->next_stream(), 3);
  EXPECT_EQ(agent_->next_stream(), 5);
}

}  // namespace
}  // namespace bulkhead::agent_client
