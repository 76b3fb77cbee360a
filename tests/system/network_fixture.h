#pragma once

// A network namespace for each test, and what tests of networks ask other people's programs.

#include <sched.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/log.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/process.h"

namespace bulkhead::network {

inline std::string output_of(std::vector<std::string> command) {
  return os::run_command(std::move(command)).value().out;
}

/// Runs a shell script, which must succeed.
inline void shell(const std::string& script) {
  const auto output = os::run_command({"sh", "-e", "-c", script}).value();
  ASSERT_EQ(output.status.shell_code(), 0) << script << "\n" << output.err;
}

class NetworksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no network namespaces here (must run as root)";
    }
    shell("ip link set lo up");
    std::string pattern = "/tmp/bh-net-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    log::configure(log::Level::Warning,
                   [this](log::Level, std::string_view line) { warnings_.emplace_back(line); });
  }

  void TearDown() override {
    log::configure(log::Level::Warning, nullptr);
    if (!directory_.empty()) {
      EXPECT_THAT(os::remove_tree(directory_), IsOk());
    }
  }

  /// Of one run directory or another.
  Networks open(const std::string& name = "run") {
    return Networks::open(directory_ + "/" + name).value();
  }

  std::string directory_;
  std::vector<std::string> warnings_;
};

}  // namespace bulkhead::network
