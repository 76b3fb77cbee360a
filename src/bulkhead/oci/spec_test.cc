#include "bulkhead/oci/spec.h"

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::oci {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Spec, DefaultsAreDockers) {
  Spec spec = default_spec();
  spec.process->args = {"true"};
  EXPECT_THAT(spec.process->capabilities->bounding, SizeIs(14));
  EXPECT_THAT(spec.process->capabilities->bounding, Contains("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(spec.process->capabilities->inheritable, IsEmpty());
  EXPECT_THAT(spec.mounts, SizeIs(7));
  EXPECT_THAT(spec.linux_settings.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec.linux_settings.readonly_paths, Contains("/proc/sys"));
  const auto text = spec.serialise();
  ASSERT_THAT(text, IsOk());
  const auto again = Spec::parse(*text);
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(again->serialise(), IsOkAnd(*text));
}

TEST(Spec, RoundTripsEverything) {
  Spec spec = default_spec();
  spec.hostname = "h";
  spec.domainname = "d";
  spec.annotations = {{"k", "v"}};
  spec.root.readonly = true;
  spec.process->args = {"a", "\xc3\xa4\n"};
  spec.process->env = {"A=b"};
  spec.process->cwd = "/w";
  spec.process->terminal = true;
  spec.process->console_size = ConsoleSize{.height = 24, .width = 80};
  spec.process->user = {.uid = 4294967294,
                        .gid = 2,
                        .umask = 18,
                        .additional_gids = {3, 4},
                        .username = "redis:audio"};
  spec.process->no_new_privileges = true;
  spec.process->oom_score_adj = -5;
  spec.process->capabilities->ambient = {"CAP_KILL"};
  spec.linux_settings.sysctl = {{"net.ipv4.ip_forward", "1"}};
  spec.linux_settings.cgroups_path = "/x";
  spec.linux_settings.resources = {.memory_limit_bytes = -1,
                                   .memory_reservation_bytes = 1,
                                   .memory_swap_bytes = 2,
                                   .cpu_shares = 1024,
                                   .cpu_quota_microseconds = 50'000,
                                   .cpu_period_microseconds = 100'000,
                                   .cpuset = "0-1",
                                   .pids_limit = 100};
  const auto text = spec.serialise();
  ASSERT_THAT(text, IsOk());
  const auto again = Spec::parse(*text);
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(again->serialise(), IsOkAnd(*text));
  EXPECT_EQ(again->process->user.username, "redis:audio");
  EXPECT_EQ(again->process->user.uid, 4294967294);
  EXPECT_EQ(again->linux_settings.resources.cpu_quota_microseconds, 50'000);
}

TEST(Resources, AreReadAlone) {
  const auto resources = Resources::parse(R"({"memory":{"limit":1048576},"pids":{"limit":-1},
      "cpu":{"quota":50000,"mems":"0"},"unified":{"memory.high":"1"}})");
  ASSERT_THAT(resources, IsOk());
  EXPECT_EQ(resources->memory_limit_bytes, 1048576);
  EXPECT_EQ(resources->pids_limit, -1);
  EXPECT_EQ(resources->cpu_quota_microseconds, 50'000);
  const auto again = Resources::parse(*resources->serialise());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->memory_limit_bytes, 1048576);
  EXPECT_EQ(again->pids_limit, -1);
  EXPECT_THAT(Resources{}.serialise(), IsOkAnd(::testing::StartsWith("{}")));
  for (const char* bad : {"", "[]", R"({"memory":7})", R"({"memory":{"limit":"1g"}})"}) {
    EXPECT_THAT(Resources::parse(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(Spec, TakesWhatContainerdWrites) {
  const auto spec = Spec::parse(R"({"ociVersion":"1.1.0","process":{"user":{"uid":0,"gid":0,
      "additionalGids":[0,10]},"args":["sh"],"env":["PATH=/bin"],"cwd":"/",
      "capabilities":{"bounding":["CAP_CHOWN"]},"apparmorProfile":"x",
      "rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],"noNewPrivileges":true},
      "root":{"path":"rootfs"},"hostname":"x","hooks":{"prestart":[{"path":"relative"}]},
      "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]}],
      "linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}],
      "memory":{"limit":104857600},"cpu":{"shares":1024}},"cgroupsPath":"/k8s/x",
      "namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/x"}],
      "seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}})");
  ASSERT_THAT(spec, IsOk());
  EXPECT_THAT(spec->process->user.additional_gids, ElementsAre(0, 10));
  EXPECT_EQ(spec->linux_settings.namespaces.at(1).path, "/var/run/netns/x");
  EXPECT_EQ(spec->linux_settings.resources.memory_limit_bytes, 104857600);
}

std::string with_process(std::string_view members) {
  return fmt::format(R"({{"ociVersion":"1.0.2","process":{{"args":["x"],"cwd":"/",{}}}}})",
                     members);
}

TEST(Spec, RefusesWhatIsWrong) {
  for (const std::string_view members :
       {R"("user":{"uid":-1})", R"("user":{"uid":4294967296})", R"("user":{"uid":"0"})",
        R"("user":{"uid":0.5})", R"("user":{"additionalGids":[-1]})", R"("user":[])", R"("env":{})",
        R"("env":[1])", R"("env":["A=\u0000"])", R"("terminal":1)",
        R"("rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":2}])",
        R"("rlimits":[{"type":"A","hard":1,"soft":1},{"type":"A","hard":1,"soft":1}])",
        R"("rlimits":[{"hard":1,"soft":1}])", R"("capabilities":[])",
        R"("capabilities":{"bounding":"CAP_CHOWN"})", R"("oomScoreAdj":"1")",
        R"("consoleSize":{"width":-1})"}) {
    EXPECT_THAT(Spec::parse(with_process(members)), IsError(ErrorCode::Invalid)) << members;
  }
  for (const std::string_view text :
       {R"({})", R"({"ociVersion":"1.0.2","process":{"args":[],"cwd":"/"}})",
        R"({"ociVersion":"1.0.2","process":{"args":["x"]}})",
        R"({"ociVersion":"1.0.2","process":{"args":["x"],"cwd":""}})",
        R"({"ociVersion":"1.0.2","process":{"args":["x"],"cwd":"proc"}})",
        R"({"ociVersion":"1.0.2","process":{"args":["x"],"cwd":"/a/../.."}})",
        R"({"ociVersion":"1.0.2","mounts":[{"destination":"proc"}]})",
        R"({"ociVersion":"1.0.2","mounts":[{"destination":"/.."}]})",
        R"({"ociVersion":"1.0.2","mounts":[{"type":"proc"}]})",
        R"({"ociVersion":"1.0.2","mounts":{}})",
        R"({"ociVersion":"1.0.2","linux":{"sysctl":{"../../etc/x":"1"}}})",
        R"({"ociVersion":"1.0.2","linux":{"sysctl":{"a":1}}})",
        R"({"ociVersion":"1.0.2","linux":{"maskedPaths":["proc"]}})",
        R"({"ociVersion":"1.0.2","linux":{"resources":{"memory":{"limit":1e400}}}})",
        R"({"ociVersion":"1.0.2","linux":{"resources":{"memory":{"limit":9223372036854775808}}}})",
        R"({"ociVersion":"1.0.2","linux":{"namespaces":[{}]}})"}) {
    EXPECT_THAT(Spec::parse(text), IsError(ErrorCode::Invalid)) << text;
  }
  EXPECT_THAT(Spec::parse(R"({"ociVersion":"2.0.0"})"), IsError(ErrorCode::Unsupported));
}

TEST(Spec, RefusesToWriteTextThatJsonCannotCarry) {
  Spec spec = default_spec();
  spec.process->args = {"a\xff"};
  EXPECT_THAT(spec.serialise(), IsError(ErrorCode::Invalid));
}

TEST(Process, RoundTripsAlone) {
  Process process;
  process.args = {"ls"};
  const auto text = process.serialise();
  ASSERT_THAT(text, IsOk());
  EXPECT_THAT(Process::parse(*text), IsOk());
  EXPECT_THAT(Process::parse("{}"), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::oci
