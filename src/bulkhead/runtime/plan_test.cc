#include "bulkhead/runtime/plan.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/v1/options.pb.h"

namespace bulkhead::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const GuestNetwork kNetwork{.mac_address = "02:00:0a:4f:00:02",
                            .address = "10.79.0.2",
                            .prefix = 16,
                            .gateway = "10.79.0.1",
                            .mtu = 1500};

oci::Spec spec() {
  oci::Spec spec = oci::default_spec();
  spec.process->args = {"/bin/sh", "-c", "true"};
  return spec;
}

std::string file(const agent::v1::StartRequest& plan, const std::string& path) {
  for (const auto& one : plan.files()) {
    if (one.path() == path) {
      return one.content();
    }
  }
  return "absent";
}

TEST(Plan, SaysAllOfTheProcess) {
  oci::Process process;
  process.args = {"a", "b"};
  process.env = {"X=1"};
  process.cwd = "/w";
  process.user = {.uid = 5, .gid = 6, .umask = 0027, .additional_gids = {7, 8}, .username = ""};
  process.capabilities = oci::Capabilities{.bounding = {"CAP_CHOWN"},
                                           .effective = {"CAP_KILL"},
                                           .permitted = {"CAP_SETUID"},
                                           .inheritable = {"CAP_SETGID"},
                                           .ambient = {"CAP_FOWNER"}};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 20, .soft = 10}};
  process.no_new_privileges = true;
  process.oom_score_adj = -7;
  process.terminal = true;
  process.console_size = oci::ConsoleSize{.height = 24, .width = 80};
  const agent::v1::Process plan = plan_process(process);
  EXPECT_THAT(plan.arguments(), ElementsAre("a", "b"));
  EXPECT_THAT(plan.environment(), ElementsAre("X=1"));
  EXPECT_EQ(plan.working_directory(), "/w");
  EXPECT_FALSE(plan.user().by_name());
  EXPECT_EQ(plan.user().uid(), 5);
  EXPECT_EQ(plan.user().gid(), 6);
  EXPECT_EQ(plan.user().umask(), 0027);
  EXPECT_THAT(plan.user().additional_gids(), ElementsAre(7, 8));
  EXPECT_THAT(plan.capabilities().bounding(), ElementsAre("CAP_CHOWN"));
  EXPECT_THAT(plan.capabilities().effective(), ElementsAre("CAP_KILL"));
  EXPECT_THAT(plan.capabilities().permitted(), ElementsAre("CAP_SETUID"));
  EXPECT_THAT(plan.capabilities().inheritable(), ElementsAre("CAP_SETGID"));
  EXPECT_THAT(plan.capabilities().ambient(), ElementsAre("CAP_FOWNER"));
  ASSERT_EQ(plan.resource_limits_size(), 1);
  EXPECT_EQ(plan.resource_limits(0).soft(), 10);
  EXPECT_EQ(plan.resource_limits(0).hard(), 20);
  EXPECT_TRUE(plan.no_new_privileges());
  EXPECT_EQ(plan.oom_score_adj(), -7);
  EXPECT_TRUE(plan.terminal());
  EXPECT_EQ(plan.terminal_columns(), 80);
  EXPECT_EQ(plan.terminal_rows(), 24);
}

TEST(PlanUpdate, SaysOnlyWhatIsToChange) {
  constexpr std::uint64_t kMachine = std::uint64_t{256} << 20U;
  const auto nothing = plan_update({}, kMachine);
  ASSERT_THAT(nothing, IsOk());
  EXPECT_EQ(nothing->ByteSizeLong(), 0U);
  const auto limits = plan_update({.memory_limit_bytes = 100 << 20,
                                   .cpu_shares = 512,
                                   .cpu_quota_microseconds = 50'000,
                                   .cpu_period_microseconds = 100'000,
                                   .pids_limit = 20},
                                  kMachine);
  ASSERT_THAT(limits, IsOk());
  EXPECT_EQ(limits->memory_bytes(), 100U << 20U);
  EXPECT_EQ(limits->cpu_shares(), 512U);
  EXPECT_EQ(limits->cpu_quota_microseconds(), 50'000U);
  EXPECT_EQ(limits->cpu_period_microseconds(), 100'000U);
  EXPECT_EQ(limits->pids(), 20U);
}

TEST(PlanUpdate, NegativeLimitsAreNone) {
  constexpr std::uint64_t kMachine = std::uint64_t{256} << 20U;
  const auto limits = plan_update(
      {.memory_limit_bytes = -1, .cpu_quota_microseconds = -1, .pids_limit = -1}, kMachine);
  ASSERT_THAT(limits, IsOk());
  EXPECT_EQ(limits->memory_bytes(), kMachine);
  EXPECT_EQ(limits->cpu_quota_microseconds(), UINT64_MAX);
  EXPECT_EQ(limits->pids(), UINT64_MAX);
}

TEST(PlanUpdate, AMachineKeepsItsSize) {
  constexpr std::uint64_t kMachine = std::uint64_t{256} << 20U;
  EXPECT_THAT(plan_update({.memory_limit_bytes = 256 << 20}, kMachine), IsOk());
  const auto refused = plan_update({.memory_limit_bytes = 300 << 20}, kMachine);
  ASSERT_THAT(refused, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(refused.error().message(), HasSubstr("300 MiB"));
  EXPECT_THAT(refused.error().message(), HasSubstr("256 MiB"));
}

TEST(Plan, AProcessWithoutCapabilitiesHasNone) {
  oci::Process process;
  process.args = {"a"};
  EXPECT_EQ(plan_process(process).capabilities().bounding_size(), 0);
}

TEST(Plan, AUserByNameIsLookedUpInTheGuest) {
  oci::Process process;
  process.user.username = "redis:audio";
  EXPECT_TRUE(plan_process(process).user().by_name());
  EXPECT_EQ(plan_process(process).user().name(), "redis:audio");
}

TEST(Plan, SaysAllOfTheContainer) {
  oci::Spec with = spec();
  with.linux_settings.sysctl = {{"net.ipv4.ip_forward", "1"}};
  with.linux_settings.resources.memory_limit_bytes = 1 << 20;
  with.linux_settings.resources.pids_limit = -1;
  with.root.readonly = true;
  with.hostname = "web";
  const auto plan =
      plan_container("0123456789abcdef", with, {}, kNetwork, {.servers = {"9.9.9.9"}});
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->hostname(), "web");
  EXPECT_TRUE(plan->readonly_root());
  EXPECT_EQ(plan->root().base_serial(), kBaseSerial);
  EXPECT_EQ(plan->root().scratch_serial(), kScratchSerial);
  EXPECT_EQ(static_cast<std::size_t>(plan->mounts_size()), with.mounts.size());
  EXPECT_GT(plan->masked_paths_size(), 0);
  EXPECT_GT(plan->readonly_paths_size(), 0);
  ASSERT_EQ(plan->sysctls_size(), 1);
  EXPECT_EQ(plan->sysctls(0).name(), "net.ipv4.ip_forward");
  EXPECT_EQ(plan->resources().memory_bytes(), 1 << 20);
  EXPECT_EQ(plan->resources().pids(), 0);
  ASSERT_EQ(plan->network().interfaces_size(), 1);
  EXPECT_EQ(plan->network().interfaces(0).name(), "eth0");
  EXPECT_EQ(plan->network().interfaces(0).mac_address(), "02:00:0a:4f:00:02");
  EXPECT_THAT(plan->network().interfaces(0).addresses(), ElementsAre("10.79.0.2/16"));
  ASSERT_EQ(plan->network().routes_size(), 1);
  EXPECT_EQ(plan->network().routes(0).gateway(), "10.79.0.1");
  EXPECT_THAT(file(*plan, "/etc/hosts"), HasSubstr("10.79.0.2\tweb\n"));
  EXPECT_THAT(file(*plan, "/etc/hosts"), HasSubstr("127.0.0.1\tlocalhost\n"));
  EXPECT_EQ(file(*plan, "/etc/hostname"), "web\n");
  EXPECT_THAT(file(*plan, "/etc/resolv.conf"), HasSubstr("nameserver 9.9.9.9\n"));
}

TEST(Plan, OptionsGoBeforeTheHostsResolver) {
  ContainerOptions options;
  options.dns_servers = {"1.1.1.1"};
  const std::string text = resolv_conf(options, {.servers = {"9.9.9.9"}, .searches = {"lan"}});
  EXPECT_THAT(text, HasSubstr("nameserver 1.1.1.1\n"));
  EXPECT_THAT(text, Not(HasSubstr("9.9.9.9")));
  EXPECT_THAT(text, HasSubstr("search lan\n"));
}

TEST(Plan, WithoutANetworkThereIsNone) {
  const auto plan = plan_container("0123456789abcdef", spec(), {}, std::nullopt, {});
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->network().interfaces_size(), 0);
  EXPECT_EQ(plan->hostname(), "0123456789ab");
  EXPECT_EQ(file(*plan, "/etc/resolv.conf"), "");
}

TEST(Plan, PreparationIsWhatContainersShare) {
  const auto plain = plan_preparation(spec(), Rehearsal::No);
  EXPECT_EQ(static_cast<std::size_t>(plain.mounts_size()), spec().mounts.size());
  EXPECT_EQ(plain.root().base_serial(), kBaseSerial);
  EXPECT_FALSE(plain.has_rehearsal());
  const auto with = plan_preparation(spec(), Rehearsal::Yes);
  EXPECT_EQ(with.rehearsal().mounts_size(), plain.mounts_size());
  EXPECT_THAT(with.rehearsal().process().arguments(), ElementsAre("/rehearsal"));
  EXPECT_GT(with.rehearsal().process().capabilities().bounding_size(), 0);
}

TEST(Plan, NumbersWhatTheHostGives) {
  oci::Spec with = spec();
  const auto add = [&with](const char* destination, const char* type, const char* source) {
    with.mounts.push_back(
        {.destination = destination, .type = type, .source = source, .options = {}});
  };
  add("/data", "bind", "/srv");
  add("/tmp", "tmpfs", "tmpfs");
  add("/disk", "ext4", "/srv/disk");
  add("/etc/hosts", "bind", "/srv/hosts");
  add("/more", "ext4", "/srv/more");
  const auto plan = plan_container("c", with, {}, std::nullopt, {});
  ASSERT_THAT(plan, IsOk());
  std::vector<std::string> last;
  for (int i = plan->mounts_size() - 5; i < plan->mounts_size(); ++i) {
    last.push_back(plan->mounts(i).type() + " " + plan->mounts(i).source());
  }
  EXPECT_THAT(last, ElementsAre("bind 0", "tmpfs tmpfs", "ext4 0", "bind 1", "ext4 1"));
  // The host's file is there instead.
  EXPECT_EQ(file(*plan, "/etc/hosts"), "absent");
  EXPECT_NE(file(*plan, "/etc/hostname"), "absent");
}

TEST(Options, HaveDefaults) {
  const auto options = ContainerOptions::from_proto({});
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->memory_bytes, 1U << 30U);
  EXPECT_EQ(options->scratch_bytes, std::uint64_t{10} << 30U);
  EXPECT_GE(options->vcpus, 1);
  EXPECT_LE(options->vcpus, 2);
  EXPECT_EQ(options->network, "bulkhead");
}

TEST(Options, ComeBackFromProtoAndJson) {
  ContainerOptions options;
  options.vcpus = 3;
  options.memory_bytes = 256U << 20U;
  options.scratch_bytes = 1U << 30U;
  options.scratch_path = "/x/scratch";
  options.network = "none";
  options.dns_servers = {"1.1.1.1"};
  options.dns_searches = {"a.b"};
  options.dns_options = {"ndots:2"};
  options.hostname = "h";
  options.hosts = {{.name = "db", .address = "10.0.0.9"}};
  options.log_path = "/x/log";
  options.managed = true;
  options.remove_on_exit = true;
  options.stdin_once = true;
  options.terminal_columns = 80;
  options.terminal_rows = 24;
  options.kernel_path = "/x/vmlinux";
  options.cold = true;
  v1::CreateOptions proto;
  options.to_proto(proto);
  EXPECT_THAT(ContainerOptions::from_proto(proto), IsOkAnd(options));
  EXPECT_THAT(ContainerOptions::from_json(options.to_json()), IsOkAnd(options));
}

TEST(Options, RefuseWhatNoMachineIsMadeWith) {
  const auto refused = [](auto change) {
    ContainerOptions options;
    change(options);
    return !options.settle().has_value();
  };
  EXPECT_TRUE(refused([](auto& o) { o.memory_bytes = 1; }));
  EXPECT_TRUE(refused([](auto& o) { o.memory_bytes = UINT64_MAX; }));
  EXPECT_TRUE(refused([](auto& o) { o.vcpus = 10'000; }));
  EXPECT_TRUE(refused([](auto& o) { o.scratch_bytes = 4096; }));
  EXPECT_TRUE(refused([](auto& o) { o.network = "../x"; }));
  EXPECT_TRUE(refused([](auto& o) { o.hostname = "a\nb"; }));
  EXPECT_TRUE(refused([](auto& o) { o.dns_servers = {"1.1.1.1\noptions x"}; }));
  EXPECT_TRUE(refused([](auto& o) { o.hosts = {{.name = "a", .address = "1.1.1.1\n2.2.2.2 b"}}; }));
  EXPECT_TRUE(refused([](auto& o) { o.log_path = "relative"; }));
  EXPECT_TRUE(refused([](auto& o) { o.remove_on_exit = true; }));
}

}  // namespace
}  // namespace bulkhead::runtime
