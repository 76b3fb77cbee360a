#include "bulkhead/cli/stats_lines.h"

#include <chrono>
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/clock.h"

#include "containerd/cgroups/v2/metrics.pb.h"

namespace bulkhead::cli {
namespace {

using ::testing::HasSubstr;
using Metrics = io::containerd::cgroups::v2::Metrics;

const SteadyTime kBegin{std::chrono::seconds(1000)};

StatsSample used(std::uint64_t microseconds, std::chrono::milliseconds after) {
  return {.at = kBegin + after, .processor_microseconds = microseconds};
}

TEST(StatsSample, SumsInterfacesAndDevices) {
  Metrics metrics;
  metrics.mutable_memory()->set_usage(10 << 20);
  metrics.mutable_memory()->set_inactive_file(4 << 20);
  metrics.mutable_memory()->set_usage_limit(256 << 20);
  for (int i = 0; i < 2; ++i) {
    metrics.add_network()->set_rx_bytes(100);
    metrics.mutable_network(i)->set_tx_bytes(UINT64_MAX - 1);
    metrics.mutable_io()->add_usage()->set_rbytes(5);
    metrics.mutable_io()->mutable_usage(i)->set_wbytes(7);
  }
  metrics.mutable_pids()->set_current(3);
  const StatsSample sample = make_sample(metrics, kBegin);
  EXPECT_EQ(sample.memory_bytes, 6 << 20);
  EXPECT_EQ(sample.memory_limit_bytes, 256 << 20);
  EXPECT_EQ(sample.received_bytes, 200);
  EXPECT_EQ(sample.sent_bytes, UINT64_MAX);
  EXPECT_EQ(sample.read_bytes, 10);
  EXPECT_EQ(sample.written_bytes, 14);
  EXPECT_EQ(sample.processes, 3);
}

TEST(StatsSample, MoreDroppablePagesThanMemoryAreNotBelieved) {
  Metrics metrics;
  metrics.mutable_memory()->set_usage(100);
  metrics.mutable_memory()->set_inactive_file(UINT64_MAX);
  EXPECT_EQ(make_sample(metrics, kBegin).memory_bytes, 100);
}

TEST(ProcessorPercent, IsOfOneProcessor) {
  using std::chrono::milliseconds;
  EXPECT_DOUBLE_EQ(
      processor_percent(used(0, milliseconds(0)), used(500'000, milliseconds(1000)), 2), 50);
  EXPECT_DOUBLE_EQ(
      processor_percent(used(0, milliseconds(0)), used(1'500'000, milliseconds(1000)), 2), 150);
}

TEST(ProcessorPercent, AGuestCannotClaimMoreThanItHas) {
  using std::chrono::milliseconds;
  EXPECT_DOUBLE_EQ(
      processor_percent(used(0, milliseconds(0)), used(INT64_MAX, milliseconds(1000)), 2), 200);
  EXPECT_DOUBLE_EQ(processor_percent(used(9, milliseconds(0)), used(3, milliseconds(1000)), 2), 0);
  EXPECT_DOUBLE_EQ(processor_percent(used(3, milliseconds(5)), used(9, milliseconds(5)), 2), 0);
}

StatsLine line() {
  return {.id = std::string(64, 'a'),
          .name = "web",
          .sample = StatsSample{.memory_bytes = 6 << 20,
                                .memory_limit_bytes = 256 << 20,
                                .received_bytes = 1050,
                                .written_bytes = 8'190'000,
                                .processes = 2},
          .processor_percent = 12.345,
          .host_memory_bytes = std::uint64_t{33} << 20U};
}

TEST(StatsTable, HasDockersColumnsAndTheHosts) {
  const std::string table = stats_table({line()}, IdLength::Short);
  EXPECT_EQ(table,
            "CONTAINER ID   NAME   CPU %    MEM USAGE / LIMIT   MEM %   NET I/O         BLOCK I/O  "
            "     PIDS   HOST MEM\n"
            "aaaaaaaaaaaa   web    12.35%   6 MiB / 256 MiB     2.34%   1.05 kB / 0 B   0 B / 8.19 "
            "MB   2      33 MiB\n");
  EXPECT_THAT(stats_table({line()}, IdLength::Whole), HasSubstr(std::string(64, 'a')));
}

TEST(StatsTable, WhatIsNotKnownIsADash) {
  const std::string table = stats_table({{.id = "1", .name = "web"}}, IdLength::Short);
  EXPECT_THAT(table, HasSubstr("\n1              web    --      -- / --             --      "
                               "-- / --   -- / --     --     --\n"));
}

TEST(StatsJson, IsOneLineOfNumbers) {
  const std::string text = stats_json(line());
  EXPECT_THAT(text, HasSubstr(R"("name":"web","cpu_percent":12.345,"memory_bytes":6291456,)"));
  EXPECT_THAT(text, HasSubstr(R"("pids":2,"host_memory_bytes":34603008)"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_THAT(stats_json({.id = "1", .name = "web"}),
              HasSubstr(R"("cpu_percent":null,"memory_bytes":null)"));
}

}  // namespace
}  // namespace bulkhead::cli
