#include "bulkhead/config/settings.h"

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"

namespace bulkhead::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::uint64_t budget(const std::string& text) {
  const auto settings = Settings::parse(text, "config.toml");
  EXPECT_THAT(settings, IsOk());
  return settings ? settings->template_budget_bytes : 0;
}

std::string complaint(const std::string& text) {
  const auto settings = Settings::parse(text, "config.toml");
  EXPECT_THAT(settings, IsError(ErrorCode::Invalid));
  return settings ? "" : std::string(settings.error().message());
}

TEST(Settings, WhatIsNotSaidIsAsUsual) {
  EXPECT_EQ(budget(""), 4ULL << 30U);
  EXPECT_EQ(budget("# nothing\n[templates]\n"), 4ULL << 30U);
}

TEST(Settings, TheBudgetIsASize) {
  EXPECT_EQ(budget("[templates]\nbudget = \"512m\"\n"), 512ULL << 20U);
  EXPECT_EQ(budget("templates.budget = \"1GiB\"\n"), 1ULL << 30U);
  EXPECT_EQ(budget("[templates]\nbudget = 4096\n"), 4096U);
  EXPECT_EQ(budget("[templates]\nbudget = 0\n"), 0U);
}

TEST(Settings, MachinesThatStandByAreCounted) {
  const auto machines = [](const std::string& text) {
    const auto settings = Settings::parse(text, "config.toml");
    EXPECT_THAT(settings, IsOk());
    return settings ? settings->standby_machines : 999;
  };
  EXPECT_EQ(machines(""), 0U);
  EXPECT_EQ(machines("[standby]\nmachines = 2\n[templates]\nbudget = 0\n"), 2U);
  EXPECT_THAT(complaint("[standby]\nmachines = 65\n"),
              StartsWith("config.toml: line 2: standby.machines: a number from 0 to 64"));
  EXPECT_THAT(complaint("[standby]\nmachines = \"one\"\n"), HasSubstr("a number"));
  EXPECT_THAT(complaint("[standby]\nbudget = 1\n"), HasSubstr("in [standby]: there is machines"));
}

TEST(Settings, WhatIsWrongIsNamedWithItsLine) {
  EXPECT_THAT(complaint("[templates]\n\nbudget = \"much\"\n"),
              StartsWith("config.toml: line 3: templates.budget: "));
  EXPECT_THAT(complaint("[templates]\nbudget = -1\n"), StartsWith("config.toml: line 2: "));
  EXPECT_THAT(complaint("[templates]\nbudget = true\n"), HasSubstr("\"4GiB\" is expected"));
  EXPECT_THAT(complaint("[templates]\n  bugdet = 1\n"),
              StartsWith("config.toml: line 2: \"bugdet\" is unknown"));
  EXPECT_THAT(complaint("# one\n[ networks ]\n"), StartsWith("config.toml: line 2: \"networks\""));
  EXPECT_THAT(complaint("templates = 1\n"), StartsWith("config.toml: line 1: \"templates\""));
  EXPECT_THAT(complaint("[templates\n"), StartsWith("config.toml: line 1, column"));
  EXPECT_THAT(complaint("templates.bugdet = 1\n"), StartsWith("config.toml: \"bugdet\""));
}

TEST(Settings, AFileThatIsNamedMustBeThere) {
  ::setenv("BULKHEAD_CONFIG", "/no/such/file", 1);
  const auto absent = Settings::load();
  EXPECT_THAT(absent, IsError(ErrorCode::NotFound));
  EXPECT_THAT(absent.error().message(),
              ::testing::AllOf(HasSubstr("BULKHEAD_CONFIG"), HasSubstr("/no/such/file")));
  const std::string file = ::testing::TempDir() + "settings-" + std::to_string(::getpid());
  ASSERT_THAT(os::write_file_atomically(file, "[templates]\nbudget = \"2g\"\n", 0600), IsOk());
  ::setenv("BULKHEAD_CONFIG", file.c_str(), 1);
  const auto settings = Settings::load();
  EXPECT_THAT(settings, IsOk());
  EXPECT_EQ(settings->template_budget_bytes, 2ULL << 30U);
  EXPECT_THAT(os::remove_file(file), IsOk());
  ::unsetenv("BULKHEAD_CONFIG");
  EXPECT_EQ(Settings::path(), "/etc/bulkhead/config.toml");
}

}  // namespace
}  // namespace bulkhead::config
