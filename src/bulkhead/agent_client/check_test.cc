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

TEST(CheckStatistics, TakesWhatAKernelCounts) {
  agent::v1::StatisticsResponse response;
  EXPECT_THAT(check(response), IsOk());
  response.add_processor()->set_name("usage_usec");
  response.mutable_processor(0)->set_value(77);
  response.add_memory()->set_name("inactive_file");
  response.set_memory_bytes(4096);
  response.add_block_devices()->set_written_bytes(512);
  response.add_interfaces()->set_name("eth0");
  response.mutable_interfaces(0)->mutable_sent()->set_bytes(42);
  const auto statistics = check(response);
  ASSERT_THAT(statistics, IsOk());
  EXPECT_EQ(statistics->processor.at("usage_usec"), 77);
  EXPECT_EQ(statistics->memory_bytes, 4096);
  EXPECT_EQ(statistics->block_devices[0].written_bytes, 512);
  EXPECT_EQ(statistics->interfaces[0].name, "eth0");
  EXPECT_EQ(statistics->interfaces[0].sent.bytes, 42);
}

TEST(CheckStatistics, BoundsNumbers) {
  using Response = agent::v1::StatisticsResponse;
  constexpr std::uint64_t kTooMuch = std::uint64_t{1} << 63U;
  const auto with = [](auto change) {
    Response response;
    response.add_processor()->set_name("usage_usec");
    response.add_memory()->set_name("anon");
    response.add_block_devices();
    response.add_interfaces();
    change(response, kTooMuch - 1);
    EXPECT_THAT(check(response), IsOk());
    change(response, kTooMuch);
    return check(response);
  };
  const auto corrupt = IsError(ErrorCode::Corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.mutable_processor(0)->set_value(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.mutable_memory(0)->set_value(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.set_memory_bytes(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.set_memory_peak_bytes(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.set_memory_limit_bytes(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.set_processes(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.set_process_limit(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.mutable_block_devices(0)->set_reads(v); }), corrupt);
  EXPECT_THAT(with([](Response& r, auto v) { r.mutable_block_devices(0)->set_read_bytes(v); }),
              corrupt);
  EXPECT_THAT(
      with([](Response& r, auto v) { r.mutable_interfaces(0)->mutable_sent()->set_bytes(v); }),
      corrupt);
  EXPECT_THAT(with([](Response& r, auto v) {
                r.mutable_interfaces(0)->mutable_received()->set_dropped(v);
              }),
              corrupt);
}

TEST(CheckStatistics, BoundsListsAndNames) {
  agent::v1::StatisticsResponse response;
  for (const char* name : {"", "a b", "a\n", "\x1b[2J", "UPPER"}) {
    response.Clear();
    response.add_memory()->set_name(name);
    EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt)) << name;
  }
  response.mutable_memory(0)->set_name(std::string(65, 'x'));
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.Clear();
  for (int i = 0; i < 257; ++i) {
    response.add_memory_events()->set_name("oom");
  }
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.Clear();
  for (int i = 0; i < 65; ++i) {
    response.add_interfaces();
  }
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
  response.Clear();
  for (int i = 0; i < 257; ++i) {
    response.add_block_devices();
  }
  EXPECT_THAT(check(response), IsError(ErrorCode::Corrupt));
}

TEST(CheckStatistics, NamesOfInterfacesAreMadePrintable) {
  agent::v1::StatisticsResponse response;
  response.add_interfaces()->set_name("\x1b[2J\n" + std::string(1000, 'x'));
  const auto statistics = check(response);
  ASSERT_THAT(statistics, IsOk());
  EXPECT_THAT(statistics->interfaces[0].name, Not(HasSubstr("\x1b")));
  EXPECT_THAT(statistics->interfaces[0].name, Not(HasSubstr("\n")));
  EXPECT_LE(statistics->interfaces[0].name.size(), 256);
}

}  // namespace
}  // namespace bulkhead::agent_client
