#include "bulkhead/agent_client/check.h"

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::agent_client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST(CheckStart, TakesAPid) {
  agent::v1::StartResponse response;
  response.set_pid(4'194'304);
  const auto outcome = check(response);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->pid, 4'194'304);
  EXPECT_EQ(outcome->failure, StartFailure::None);
}

TEST(CheckStart, RefusesWhatIsNoPid) {
  agent::v1::StartResponse response;
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.set_pid(4'194'305);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

TEST(CheckStart, RefusesAFailureThatDoesNotExist) {
  agent::v1::StartResponse response;
  response.set_failure(static_cast<agent::v1::StartFailure>(77));
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.set_failure(static_cast<agent::v1::StartFailure>(-1));
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

TEST(CheckStart, CutsAndEscapesTheGuestsText) {
  agent::v1::StartResponse response;
  response.set_failure(agent::v1::START_FAILURE_NOT_FOUND);
  response.set_message("\x1b[2Jline\nforged: \"x\"" + std::string(10U << 20U, 'x'));
  const auto outcome = check(response);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->failure, StartFailure::NotFound);
  EXPECT_LE(outcome->message.size(), 4096);
  EXPECT_THAT(outcome->message, Not(HasSubstr("\n")));
  EXPECT_THAT(outcome->message, Not(HasSubstr("\x1b")));
}

TEST(CheckStart, BoundsPhases) {
  agent::v1::StartResponse response;
  response.set_pid(1);
  response.add_phases()->set_name("init");
  response.mutable_phases(0)->set_nanoseconds_since_boot(5);
  EXPECT_THAT(check(response), IsOk());
  response.mutable_phases(0)->set_nanoseconds_since_boot(-5);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.mutable_phases(0)->set_nanoseconds_since_boot(INT64_MAX);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.mutable_phases(0)->set_nanoseconds_since_boot(5);
  response.mutable_phases(0)->set_name("a\nb");
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.clear_phases();
  for (int i = 0; i < 65; ++i) {
    response.add_phases()->set_name("x");
  }
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

TEST(CheckWait, CountsAsShellsDo) {
  agent::v1::WaitResponse response;
  response.set_exit_code(255);
  EXPECT_EQ(check(response)->status, 255);
  response.set_exit_code(0);
  response.set_signal(64);
  EXPECT_EQ(check(response)->status, 192);
  EXPECT_EQ(check(response)->signal, 64);
}

TEST(CheckWait, RefusesWhatNoProcessEndsWith) {
  agent::v1::WaitResponse response;
  response.set_exit_code(256);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.set_exit_code(UINT32_MAX);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.set_exit_code(0);
  response.set_signal(65);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

TEST(CheckProcesses, BoundsTheList) {
  agent::v1::ProcessesResponse response;
  response.add_pids(1);
  response.add_pids(7);
  EXPECT_THAT(check(response), IsOkAnd(ElementsAre(1, 7)));
  response.add_pids(0);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.mutable_pids()->Resize(65537, 2);
  response.mutable_pids()->Set(2, 2);
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::agent_client
