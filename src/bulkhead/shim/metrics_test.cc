#include "bulkhead/shim/metrics.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "bulkhead/agent_client/check.h"

namespace bulkhead::shim {
namespace {

constexpr std::uint64_t kMachine = std::uint64_t{256} << 20U;

TEST(Metrics, CarryWhatTheGuestCounted) {
  agent_client::Statistics statistics;
  statistics.processor = {{"usage_usec", 10}, {"user_usec", 7}, {"made_up", 1}};
  statistics.memory = {
      {"inactive_file", 4096}, {"workingset_refault_anon", 2}, {"workingset_refault_file", 3}};
  statistics.memory_events = {{"oom_kill", 1}};
  statistics.memory_bytes = 5 << 20;
  statistics.memory_limit_bytes = 200 << 20;
  statistics.processes = 3;
  statistics.process_limit = 100;
  statistics.block_devices = {{.major = 254, .minor = 16, .read_bytes = 1, .written_bytes = 2}};
  statistics.interfaces = {{.name = "eth0", .received = {.bytes = 8}, .sent = {.dropped = 9}}};
  const auto metrics = to_metrics(statistics, kMachine);
  EXPECT_EQ(metrics.cpu().usage_usec(), 10);
  EXPECT_EQ(metrics.cpu().user_usec(), 7);
  EXPECT_EQ(metrics.memory().inactive_file(), 4096);
  EXPECT_EQ(metrics.memory().workingset_refault(), 5);
  EXPECT_EQ(metrics.memory().usage(), 5 << 20);
  EXPECT_EQ(metrics.memory().usage_limit(), 200 << 20);
  EXPECT_EQ(metrics.memory_events().oom_kill(), 1);
  EXPECT_EQ(metrics.pids().current(), 3);
  EXPECT_EQ(metrics.pids().limit(), 100);
  ASSERT_EQ(metrics.io().usage_size(), 1);
  EXPECT_EQ(metrics.io().usage(0).wbytes(), 2);
  ASSERT_EQ(metrics.network_size(), 1);
  EXPECT_EQ(metrics.network(0).name(), "eth0");
  EXPECT_EQ(metrics.network(0).rx_bytes(), 8);
  EXPECT_EQ(metrics.network(0).tx_dropped(), 9);
}

TEST(Metrics, WithoutALimitTheMachineIsTheLimit) {
  const auto metrics = to_metrics({}, kMachine);
  EXPECT_EQ(metrics.memory().usage_limit(), kMachine);
  EXPECT_EQ(metrics.pids().limit(), UINT64_MAX);
}

TEST(Metrics, NoMoreMemoryIsBelievedThanTheMachineHas) {
  agent_client::Statistics statistics;
  statistics.memory_bytes = std::uint64_t{1} << 60U;
  statistics.memory_peak_bytes = std::uint64_t{1} << 60U;
  statistics.memory_limit_bytes = std::uint64_t{1} << 60U;
  const auto metrics = to_metrics(statistics, kMachine);
  EXPECT_EQ(metrics.memory().usage(), kMachine);
  EXPECT_EQ(metrics.memory().max_usage(), kMachine);
  EXPECT_EQ(metrics.memory().usage_limit(), kMachine);
}

}  // namespace
}  // namespace bulkhead::shim
