// PID 1 in a virtual machine: what it makes of a plan, and of what a process does.

#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <ratio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/process.h"

#include "guest_machine.h"

namespace bulkhead::guest_test {
namespace {

using agent_client::StartFailure;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Scope = agent_client::Agent::SignalScope;

class GuestTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (missing_prerequisite().empty()) {
      images = new TemporaryDirectory();
      ASSERT_THAT(make_base_image(*images, images->path("base")), IsOk());
    }
  }

  static void TearDownTestSuite() {
    delete images;
    images = nullptr;
  }

  void SetUp() override {
    if (const std::string missing = missing_prerequisite(); !missing.empty()) {
      GTEST_SKIP() << missing;
    }
  }

  void TearDown() override {
    if (machine_ != nullptr && (HasFailure() || std::getenv("GUEST_CONSOLE") != nullptr)) {
      GTEST_LOG_(INFO) << "console: " << machine_->console();
    }
  }

  std::string new_scratch() {
    const std::string path = directory_.path(fmt::format("scratch{}", ++scratches_));
    EXPECT_THAT(make_scratch_disk(path), IsOk());
    return path;
  }

  void boot(GuestMachine::Options options = {}) {
    if (options.base.empty()) {
      options.base = images->path("base");
    }
    if (options.scratch.empty()) {
      options.scratch = new_scratch();
    }
    auto booted = GuestMachine::boot(options);
    ASSERT_THAT(booted, IsOk());
    machine_ = *std::move(booted);
  }

  /// A container that waits for commands.
  void boot_idle(agent::v1::StartRequest plan = GuestMachine::plan({"sleep", "100000"}),
                 GuestMachine::Options options = {}) {
    boot(std::move(options));
    first_ = machine_->start(std::move(plan));
    ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  }

  StartFailure failure_of(const std::vector<std::string>& arguments) {
    return machine_->run(GuestMachine::process(arguments))->outcome.failure;
  }

  static TemporaryDirectory* images;
  TemporaryDirectory directory_;
  int scratches_ = 0;
  std::unique_ptr<GuestMachine> machine_;
  std::shared_ptr<HostProcess> first_;
};

TemporaryDirectory* GuestTest::images = nullptr;

// --- one process from beginning to end ---

TEST_F(GuestTest, RunsAProgramAndTellsHowItEnded) {
  boot();
  first_ = machine_->start(GuestMachine::plan({"sh", "-c", "echo out; echo err >&2; exit 7"}));
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  ASSERT_TRUE(first_->end.has_value());
  EXPECT_EQ(first_->end->status, 7);
  EXPECT_EQ(first_->end->signal, 0);
  // The answer to Wait comes after every byte.
  EXPECT_TRUE(first_->out_ended);
  EXPECT_TRUE(first_->err_ended);
  EXPECT_EQ(first_->out, "out\n");
  EXPECT_EQ(first_->err, "err\n");
  std::string times;
  for (const auto& phase : first_->outcome.phases) {
    times += fmt::format("{} {:.1f} ms  ", phase.name,
                         std::chrono::duration<double, std::milli>(phase.since_boot).count());
  }
  GTEST_LOG_(INFO) << times;
  EXPECT_THAT(machine_->shut_down(), IsOk());
}

TEST_F(GuestTest, StdinArrivesByteForByteAndEnds) {
  boot();
  std::string data(16 << 20, '\0');
  std::mt19937_64 random(7);
  for (std::size_t i = 0; i + 8 <= data.size(); i += 8) {
    const std::uint64_t value = random();
    std::memcpy(&data[i], &value, sizeof value);
  }
  first_ = machine_->start(GuestMachine::plan({"cat"}), data);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  ASSERT_TRUE(first_->end.has_value());
  EXPECT_EQ(first_->end->status, 0);
  EXPECT_TRUE(first_->out == data) << first_->out.size() << " of " << data.size() << " bytes";
}

TEST_F(GuestTest, ReaderThatStallsHoldsUpOnlyItself) {
  boot_idle();
  machine_->stalled = true;
  const auto flood =
      machine_->exec(GuestMachine::process({"dd", "if=/dev/zero", "bs=64k", "count=64"}));
  ASSERT_TRUE(machine_->wait_until([&] { return flood->out.size() >= mux::kWindow; }));
  machine_->stalled = false;
  EXPECT_EQ(machine_->shell("echo still here"), "still here\n");
  EXPECT_LE(flood->out.size(), mux::kWindow);
  EXPECT_FALSE(flood->end.has_value());
  for (const auto& [stream, size] : std::exchange(machine_->withheld, {})) {
    machine_->agent().session().lock()->consume(stream, size);
  }
  machine_->finish(*flood);
  EXPECT_EQ(flood->out.size(), 64U * 65536);
}

TEST_F(GuestTest, ProcessThatDoesNotReadStdinDoesNotMatter) {
  boot_idle();
  const auto process =
      machine_->exec(GuestMachine::process({"sh", "-c", "exit 3"}), std::string(8 << 20, 'x'));
  machine_->finish(*process);
  ASSERT_TRUE(process->end.has_value());
  EXPECT_EQ(process->end->status, 3);
  EXPECT_TRUE(machine_->wait_until([&] { return process->stdin_gone; }));
}

// --- the end of the first process ---

TEST_F(GuestTest, FirstProcessHearsOnlyWhatItHandles) {
  boot();
  first_ = machine_->start(GuestMachine::plan(
      {"sh", "-c", "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.1; done"}));
  ASSERT_TRUE(machine_->wait_until([&] { return first_->out == "ready\n"; }))
      << first_->outcome.message;
  EXPECT_THAT(machine_->signal("", SIGTERM), IsOk());
  EXPECT_EQ(machine_->shell("echo alive"), "alive\n");
  EXPECT_FALSE(first_->end.has_value());
  EXPECT_THAT(machine_->signal("", SIGUSR1), IsOk());
  machine_->finish(*first_);
  EXPECT_EQ(first_->end->status, 9);
  EXPECT_EQ(first_->out, "ready\ngot it\n");
  EXPECT_THAT(machine_->signal("", SIGKILL), IsError(ErrorCode::NotFound));
}

TEST_F(GuestTest, KillEndsEverything) {
  boot_idle();
  const auto other =
      machine_->exec(GuestMachine::process({"sh", "-c", "sleep 1000 & echo up; wait"}));
  ASSERT_TRUE(machine_->wait_until([&] { return other->out == "up\n"; }));
  EXPECT_THAT(machine_->processes(), IsOkAnd(SizeIs(3)));
  EXPECT_THAT(machine_->signal("", SIGKILL), IsOk());
  machine_->finish(*first_);
  machine_->finish(*other);
  EXPECT_EQ(first_->end->signal, SIGKILL);
  EXPECT_EQ(first_->end->status, 137);
  EXPECT_FALSE(first_->end->out_of_memory);
  EXPECT_EQ(other->end->signal, SIGKILL);
  const auto late = machine_->exec(GuestMachine::process({"true"}));
  EXPECT_NE(late->outcome.failure, StartFailure::None);
}

TEST_F(GuestTest, BackgroundProcessesDieWithTheFirst) {
  boot();
  first_ = machine_->start(GuestMachine::plan({"sh", "-c", "sleep 1000 & sleep 1000 & echo done"}));
  machine_->finish(*first_);
  ASSERT_TRUE(first_->end.has_value());
  EXPECT_EQ(first_->end->status, 0);
  EXPECT_EQ(first_->out, "done\n");
  EXPECT_THAT(machine_->processes(), IsOkAnd(SizeIs(0)));
}

TEST_F(GuestTest, OutOfMemoryIsTold) {
  auto plan = GuestMachine::plan({"tail", "/dev/zero"});
  plan.mutable_resources()->set_memory_bytes(24 << 20);
  boot();
  first_ = machine_->start(plan);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  ASSERT_TRUE(first_->end.has_value());
  EXPECT_EQ(first_->end->signal, SIGKILL);
  EXPECT_TRUE(first_->end->out_of_memory);
}

TEST_F(GuestTest, MachineWithoutMemoryKeepsItsAgent) {
  boot_idle();
  const auto hog = machine_->run(GuestMachine::process({"tail", "/dev/zero"}));
  ASSERT_TRUE(hog->end.has_value());
  EXPECT_EQ(hog->end->signal, SIGKILL);
  EXPECT_TRUE(hog->end->out_of_memory);
  EXPECT_EQ(machine_->shell("echo alive"), "alive\n");
}

// --- what it uses, and may use ---

TEST_F(GuestTest, StatisticsCountWhatTheContainerDoes) {
  auto plan = GuestMachine::plan({"sleep", "100000"});
  plan.mutable_resources()->set_memory_bytes(100 << 20);
  plan.mutable_resources()->set_pids(50);
  boot_idle(plan);
  const auto before = machine_->statistics();
  ASSERT_THAT(before, IsOk());
  EXPECT_EQ(before->processes, 1);
  EXPECT_EQ(before->process_limit, 50);
  EXPECT_EQ(before->memory_limit_bytes, 100 << 20);
  EXPECT_GT(before->memory_bytes, 0);
  EXPECT_GE(before->memory_peak_bytes, before->memory_bytes);
  for (const char* name : {"anon", "file", "inactive_file", "slab", "pgfault"}) {
    EXPECT_TRUE(before->memory.contains(name)) << name;
  }
  machine_->shell(
      "dd if=/dev/zero of=/dev/shm/big bs=1M count=30; dd if=/dev/zero of=/root/big "
      "bs=1M count=10 conv=fsync; i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done");
  const auto after = machine_->statistics();
  ASSERT_THAT(after, IsOk());
  EXPECT_GT(after->processor.at("usage_usec"), before->processor.at("usage_usec"));
  EXPECT_GT(after->memory.at("shmem"), before->memory.at("shmem") + (29U << 20U));
  const auto written = [](const agent_client::Statistics& statistics) {
    std::uint64_t bytes = 0;
    for (const agent_client::BlockDevice& device : statistics.block_devices) {
      bytes += device.written_bytes;
    }
    return bytes;
  };
  EXPECT_GE(written(*after), written(*before) + (10U << 20U));
}

TEST_F(GuestTest, LimitsChangeWhileTheContainerRuns) {
  auto plan = GuestMachine::plan({"sleep", "100000"});
  plan.mutable_resources()->set_memory_bytes(100 << 20);
  plan.mutable_resources()->set_pids(50);
  boot_idle(plan);
  const auto limits = [&] {
    return machine_->shell(
        "cd /sys/fs/cgroup; cat memory.max memory.high pids.max cpu.max | tr '\\n' ' '");
  };
  EXPECT_EQ(limits(), "104857600 max 50 max 100000 ");
  agent::v1::Resources change;
  change.set_memory_bytes(80 << 20);
  EXPECT_THAT(machine_->update(change), IsOk());
  EXPECT_EQ(limits(), "83886080 max 50 max 100000 ");
  change.Clear();
  change.set_pids(UINT64_MAX);
  change.set_cpu_quota_microseconds(50000);
  EXPECT_THAT(machine_->update(change), IsOk());
  EXPECT_EQ(limits(), "83886080 max max 50000 100000 ");
}

TEST_F(GuestTest, ALowerLimitTakesPagesOfFilesBackAndKillsNothing) {
  boot_idle();
  machine_->shell("dd if=/dev/zero of=/root/big bs=1M count=100");
  ASSERT_GT(machine_->statistics()->memory_bytes, 90U << 20U);
  agent::v1::Resources change;
  change.set_memory_bytes(40 << 20);
  EXPECT_THAT(machine_->update(change), IsOk());
  const auto after = machine_->statistics();
  ASSERT_THAT(after, IsOk());
  EXPECT_LE(after->memory_bytes, 40U << 20U);
  EXPECT_EQ(after->memory_limit_bytes, 40U << 20U);
  EXPECT_EQ(after->memory_events.at("oom_kill"), 0U);
  EXPECT_EQ(machine_->shell("wc -c </root/big"), "104857600\n");
}

TEST_F(GuestTest, ALimitBelowWhatIsInUseIsRefusedAndNothingChanges) {
  boot_idle();
  machine_->shell("dd if=/dev/zero of=/dev/shm/big bs=1M count=60");
  agent::v1::Resources change;
  change.set_memory_bytes(40 << 20);
  change.set_pids(7);
  const auto refused = machine_->update(change);
  ASSERT_THAT(refused, IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(refused.error().message(), HasSubstr("40 MiB"));
  EXPECT_EQ(
      machine_->shell("cd /sys/fs/cgroup; cat memory.max memory.high pids.max | tr '\\n' ' '"),
      "max max max ");
  EXPECT_EQ(machine_->shell("wc -c </dev/shm/big"), "62914560\n");
}

// --- before there is a container ---

TEST_F(GuestTest, ARehearsalIsUndoneAndTheContainerStartsAfterIt) {
  boot();
  const auto answer = [&](const auto& ask) {
    std::optional<Result<>> answered;
    ask([&](Result<> result) { answered = std::move(result); });
    EXPECT_TRUE(machine_->wait_until([&] { return answered.has_value(); }));
    return answered ? *std::move(answered) : Result<>(fail(ErrorCode::Timeout, "no answer"));
  };
  const auto rehearse = [&](const std::string& program) {
    return answer([&](auto done) {
      machine_->agent().rehearse(GuestMachine::plan({program}), std::move(done));
    });
  };
  EXPECT_THAT(rehearse("/rehearsal"), IsError(ErrorCode::FailedPrecondition));
  agent::v1::PrepareRequest preparation;
  *preparation.mutable_root() = GuestMachine::plan({"true"}).root();
  ASSERT_THAT(answer([&](auto done) { machine_->agent().prepare(preparation, std::move(done)); }),
              IsOk());
  ASSERT_THAT(rehearse("/rehearsal"), IsOk());
  first_ = machine_->start(GuestMachine::plan({"sleep", "1000"}));
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  EXPECT_THAT(rehearse("/rehearsal"), IsError(ErrorCode::FailedPrecondition));
  // Its accounts begin with the container.
  const auto used = machine_->statistics();
  ASSERT_THAT(used, IsOk());
  EXPECT_EQ(used->processes, 1U);
  EXPECT_EQ(machine_->shell("cat /proc/1/comm; mount | grep -c ' / '"), "sleep\n1\n");
  EXPECT_THAT(machine_->shut_down(), IsOk());
}

// --- shutting down ---

TEST_F(GuestTest, ShutdownKeepsWhatWasWritten) {
  const std::string scratch = new_scratch();
  boot_idle(GuestMachine::plan({"sh", "-c", "sleep 1000 & sleep 1000"}),
            {.base = "", .scratch = scratch});
  EXPECT_EQ(machine_->shell("echo kept > /root/file; rm /bin/ping"), "");
  const auto began = std::chrono::steady_clock::now();
  ASSERT_THAT(machine_->shut_down(), IsOk());
  GTEST_LOG_(INFO)
      << "shutdown took "
      << std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count()
      << " ms";
  const auto checked = os::run_command({"/sbin/e2fsck", "-fn", scratch});
  ASSERT_THAT(checked, IsOk());
  EXPECT_EQ(checked->status.shell_code(), 0) << checked->out;
  EXPECT_THAT(checked->out, Not(HasSubstr("was not cleanly unmounted")));
  boot_idle(GuestMachine::plan({"sleep", "1000"}), {.base = "", .scratch = scratch});
  EXPECT_EQ(machine_->shell("cat /root/file; ls /bin/ping"),
            "kept\nls: /bin/ping: No such file or directory\n");
}

TEST_F(GuestTest, MachineEndsWhenItsHostIsGone) {
  const std::string scratch = new_scratch();
  boot_idle(GuestMachine::plan({"sleep", "1000"}), {.base = "", .scratch = scratch});
  EXPECT_EQ(machine_->shell("echo kept > /file"), "");
  machine_->disconnect();
  EXPECT_TRUE(machine_->wait_for_machine(std::chrono::seconds(10)));
  const auto checked = os::run_command({"/sbin/e2fsck", "-fn", scratch});
  EXPECT_EQ(checked->status.shell_code(), 0) << checked->out;
}

TEST_F(GuestTest, ShutdownBeforeAnyPlan) {
  boot();
  EXPECT_THAT(machine_->shut_down(), IsOk());
}

// --- why a process cannot be started ---

TEST_F(GuestTest, TellsApartWhyAProgramDoesNotRun) {
  boot_idle();
  EXPECT_EQ(failure_of({"no-such-program"}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({"/no/such/program"}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({"/bin/cat/x"}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({"/bin/orphan"}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({"plain"}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({"/bin/plain"}), StartFailure::NotExecutable);
  EXPECT_EQ(failure_of({"/bin"}), StartFailure::NotExecutable);
  EXPECT_EQ(failure_of({"/bin/text"}), StartFailure::NotExecutable);
  EXPECT_EQ(failure_of({"/bin/circle"}), StartFailure::NotExecutable);
  EXPECT_EQ(failure_of({""}), StartFailure::NotFound);
  EXPECT_EQ(failure_of({}), StartFailure::Setup);
  auto process = GuestMachine::process({"true"});
  process.mutable_user()->set_by_name(true);
  for (const char* user : {"nobody", "-1", "4294967296", "0x0", "user:nogroup"}) {
    process.mutable_user()->set_name(user);
    EXPECT_EQ(machine_->run(process)->outcome.failure, StartFailure::User) << user;
  }
  process = GuestMachine::process({"true"});
  process.set_working_directory("/etc/passwd");
  EXPECT_EQ(machine_->run(process)->outcome.failure, StartFailure::WorkingDirectory);
  process.set_working_directory("/no/such");
  EXPECT_EQ(machine_->run(process)->outcome.failure, StartFailure::WorkingDirectory);
  // No directory of init's is open behind any of them.
  for (int fd = 0; fd < 64; ++fd) {
    process.set_working_directory(fmt::format("/proc/self/fd/{}", fd));
    EXPECT_EQ(machine_->run(process)->outcome.failure, StartFailure::WorkingDirectory) << fd;
  }
  EXPECT_EQ(machine_->shell("echo alive"), "alive\n");
}

TEST_F(GuestTest, FirstProcessThatIsMissingIsTold) {
  boot();
  first_ = machine_->start(GuestMachine::plan({"no-such-program"}));
  EXPECT_EQ(first_->outcome.failure, StartFailure::NotFound);
  EXPECT_THAT(first_->outcome.message, HasSubstr("executable file not found in $PATH"));
  EXPECT_THAT(machine_->shut_down(), IsOk());
}

TEST_F(GuestTest, FirstProcessDoesNotBeginInADirectoryOfInit) {
  for (int fd = 3; fd < 10; ++fd) {
    boot();
    auto plan = GuestMachine::plan({"true"});
    plan.mutable_process()->set_working_directory(fmt::format("/proc/self/fd/{}", fd));
    first_ = machine_->start(plan);
    EXPECT_EQ(first_->outcome.failure, StartFailure::WorkingDirectory) << fd;
    EXPECT_THAT(machine_->shut_down(), IsOk());
  }
}

TEST_F(GuestTest, PlanThatCannotBeCarriedOutIsTold) {
  boot();
  auto plan = GuestMachine::plan({"true"});
  plan.mutable_root()->set_scratch_serial("other");
  first_ = machine_->start(plan);
  EXPECT_EQ(first_->outcome.failure, StartFailure::Setup);
  EXPECT_THAT(first_->outcome.message, HasSubstr("other"));
  EXPECT_THAT(machine_->shut_down(), IsOk());
}

// --- what a process finds ---

TEST_F(GuestTest, ContainerIsAsDockerMakesIt) {
  auto plan = GuestMachine::plan({"sleep", "100000"});
  plan.mutable_resources()->set_memory_bytes(64 << 20);
  plan.mutable_resources()->set_pids(50);
  plan.mutable_resources()->set_cpu_quota_microseconds(50000);
  plan.mutable_resources()->set_cpu_period_microseconds(100000);
  for (const auto& [path, content] : std::vector<std::pair<std::string, std::string>>{
           {"/etc/hosts", "127.0.0.1 localhost\n"},
           {"/etc/resolv.conf", "nameserver 10.79.0.1\n"},
           {"/etc/hostname", "brave-otter\n"}}) {
    auto& file = *plan.add_files();
    file.set_path(path);
    file.set_content(content);
    file.set_mode(0644);
  }
  auto& sysctl = *plan.add_sysctls();
  sysctl.set_name("kernel.shmmni");
  sysctl.set_value("1234");
  auto& net = *plan.add_sysctls();
  net.set_name("net.core.somaxconn");
  net.set_value("777");
  boot_idle(plan, {.base = "", .scratch = "", .vcpus = 2});

  EXPECT_EQ(machine_->shell("hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf"),
            "brave-otter\nbrave-otter\n127.0.0.1 localhost\nnameserver 10.79.0.1\n");
  EXPECT_EQ(machine_->shell("cat /proc/sys/kernel/shmmni /proc/sys/net/core/somaxconn"),
            "1234\n777\n");
  EXPECT_THAT(machine_->shell("grep Cap /proc/self/status"),
              AllOf(HasSubstr("CapPrm:\t00000000a80425fb"), HasSubstr("CapEff:\t00000000a80425fb"),
                    HasSubstr("CapBnd:\t00000000a80425fb"), HasSubstr("CapInh:\t0000000000000000"),
                    HasSubstr("CapAmb:\t0000000000000000")));
  EXPECT_EQ(machine_->shell("id"), "uid=0(root) gid=0(root)\n");
  EXPECT_EQ(machine_->run(GuestMachine::process({"env"}))->out,
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            "HOSTNAME=brave-otter\nHOME=/root\n");
  EXPECT_THAT(machine_->shell("ps -o pid,args"),
              AllOf(HasSubstr("    1 sleep 100000"), Not(HasSubstr("init")), Not(HasSubstr("["))));
  // Devices.
  EXPECT_EQ(machine_->shell("ls /dev"),
            "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
            "urandom\nzero\n");
  EXPECT_EQ(machine_->shell("stat -c '%a %t:%T %u' /dev/null /dev/tty /dev/urandom"),
            "666 1:3 0\n666 5:0 0\n666 1:9 0\n");
  EXPECT_EQ(machine_->shell("echo x > /dev/stdout; readlink /dev/fd; readlink /dev/ptmx"),
            "x\n/proc/self/fd\npts/ptmx\n");
  EXPECT_EQ(machine_->shell("stat -c %a /dev/shm /dev"), "1777\n755\n");
  // Mounts.
  const std::string mounts = machine_->shell("cat /proc/self/mounts");
  EXPECT_THAT(mounts, StartsWith("root / overlay rw,"));
  EXPECT_THAT(mounts, HasSubstr("proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"));
  EXPECT_THAT(mounts, HasSubstr("/dev tmpfs rw,nosuid,size=65536k,mode=755"));
  EXPECT_THAT(mounts, HasSubstr("devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,"
                                "ptmxmode=666 0 0\n"));
  EXPECT_THAT(mounts, HasSubstr("/sys sysfs ro,nosuid,nodev,noexec,relatime 0 0\n"));
  EXPECT_THAT(mounts, HasSubstr("/sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec"));
  EXPECT_THAT(mounts, HasSubstr("/dev/mqueue mqueue rw,nosuid,nodev,noexec"));
  EXPECT_THAT(mounts, HasSubstr("/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k"));
  EXPECT_THAT(mounts, Not(HasSubstr(" /run/")));
  // Masked and read-only paths.
  EXPECT_EQ(machine_->shell("wc -c < /proc/timer_list; ls /sys/firmware | wc -l"), "0\n0\n");
  EXPECT_THAT(machine_->shell("echo 1 > /proc/sys/vm/swappiness"), HasSubstr("Read-only"));
  EXPECT_THAT(machine_->shell("mkdir /sys/fs/cgroup/x"), HasSubstr("Read-only"));
  EXPECT_THAT(machine_->shell("mount -t tmpfs none /tmp"), HasSubstr("denied"));
  // Its cgroup is the root of what it sees.
  EXPECT_EQ(
      machine_->shell("cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max "
                      "/sys/fs/cgroup/cpu.max"),
      "0::/\n67108864\n50\n50000 100000\n");
  EXPECT_EQ(machine_->shell("cat /proc/1/oom_score_adj"), "0\n");
  EXPECT_EQ(machine_->shell("ls /proc/self/fd | wc -l"), "4\n");
  EXPECT_EQ(machine_->shell("umask"), "0022\n");
  EXPECT_EQ(
      machine_->run(GuestMachine::process({"grep", "-E", "SigIgn|SigBlk", "/proc/self/status"}))
          ->out,
      "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  const auto year = std::stoi(machine_->shell("date +%Y"));
  EXPECT_GE(year, 2024);
}

TEST_F(GuestTest, MachinesDisksAreOutOfReach) {
  boot_idle();
  // CAP_MKNOD is one of docker's default capabilities: a node can be made, not used.
  EXPECT_EQ(
      machine_->shell("cd /; mknod disk b 254 0 && mknod scratch b 254 16 && mknod mem c 1 1 && "
                      "mknod port c 1 4 && mknod kmsg c 1 11 && mknod vport c 247 1 && echo made"),
      "made\n");
  EXPECT_THAT(machine_->shell("grep -c . /proc/partitions; cat /proc/partitions"),
              AllOf(HasSubstr(" 254        0 "), HasSubstr(" 254       16 ")));
  for (const char* node : {"disk", "scratch", "mem", "port", "kmsg", "vport"}) {
    EXPECT_THAT(machine_->shell(std::string("head -c 1 /") + node), HasSubstr("not permitted"))
        << node;
    EXPECT_THAT(machine_->shell(std::string("echo x > /") + node), HasSubstr("not permitted"))
        << node;
  }
  EXPECT_EQ(machine_->shell(
                "cd /; for m in 3 5 7 8 9; do mknod n$m c 1 $m && head -c 0 n$m && echo > n$m; "
                "done 2>&1; head -c 2 n5 | od -An -tx1"),
            "sh: write error: No space left on device\n 00 00\n");
}

TEST_F(GuestTest, ProcessIsWhoItShallBe) {
  boot_idle();
  const auto as = [&](const std::string& user, const std::string& command) {
    auto process = GuestMachine::process({"sh", "-c", command});
    process.mutable_user()->set_by_name(true);
    process.mutable_user()->set_name(user);
    const auto host = machine_->run(process);
    return host->outcome.message + host->out + host->err;
  };
  EXPECT_EQ(as("user", "id"), "uid=1000(user) gid=1000(user) groups=29(audio),1000(user)\n");
  EXPECT_EQ(as("1000:0", "id"), "uid=1000(user) gid=0(root) groups=0(root)\n");
  EXPECT_EQ(as("4711", "id; echo $HOME"), "uid=4711 gid=0(root) groups=0(root)\n/\n");
  EXPECT_EQ(as("", "id"), "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n");
  EXPECT_EQ(as("user", "echo $HOME; echo out > /dev/stdout; echo err > /dev/stderr"),
            "/home/user\nout\nerr\n");
  EXPECT_THAT(
      as("user", "grep -E 'CapEff|CapPrm' /proc/self/status"),
      AllOf(HasSubstr("CapEff:\t0000000000000000"), HasSubstr("CapPrm:\t0000000000000000")));

  auto process = GuestMachine::process({"sh", "-c",
                                        "grep NoNewPrivs /proc/self/status; umask; pwd;"
                                        "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; id"});
  process.mutable_user()->set_uid(1000);
  process.mutable_user()->set_gid(29);
  process.mutable_user()->add_additional_gids(10);
  process.mutable_user()->set_umask(027);
  process.set_no_new_privileges(true);
  process.set_working_directory("/home/user");
  process.set_oom_score_adj(123);
  auto& limit = *process.add_resource_limits();
  limit.set_type("RLIMIT_NOFILE");
  limit.set_soft(64);
  limit.set_hard(128);
  const auto host = machine_->run(process);
  EXPECT_EQ(host->outcome.message + host->out + host->err,
            "NoNewPrivs:\t1\n0027\n/home/user\n64\n128\n123\n"
            "uid=1000(user) gid=29(audio) groups=10(wheel)\n");

  auto ambient = GuestMachine::process({"grep", "-E", "CapEff|CapAmb", "/proc/self/status"});
  ambient.mutable_user()->set_uid(1000);
  ambient.mutable_user()->set_gid(1000);
  ambient.mutable_capabilities()->add_inheritable("CAP_CHOWN");
  ambient.mutable_capabilities()->add_ambient("CAP_CHOWN");
  EXPECT_THAT(machine_->run(ambient)->out, AllOf(HasSubstr("CapEff:\t0000000000000001"),
                                                 HasSubstr("CapAmb:\t0000000000000001")));
  auto privileged = GuestMachine::process({"sh", "-c", "mount -t tmpfs none /tmp && echo ok"});
  for (auto* set : {privileged.mutable_capabilities()->mutable_bounding(),
                    privileged.mutable_capabilities()->mutable_effective(),
                    privileged.mutable_capabilities()->mutable_permitted()}) {
    set->Add("CAP_SYS_ADMIN");
  }
  EXPECT_EQ(machine_->run(privileged)->out, "ok\n");
}

TEST_F(GuestTest, FirstProcessGetsItsWorkingDirectoryAndReadOnlyRoot) {
  auto plan = GuestMachine::plan({"sh", "-c", "pwd; touch /x 2>&1; touch /dev/shm/y && echo ok"});
  plan.mutable_process()->set_working_directory("/made/here");
  plan.set_readonly_root(true);
  boot();
  first_ = machine_->start(plan);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  EXPECT_EQ(first_->out, "/made/here\ntouch: /x: Read-only file system\nok\n");
}

TEST_F(GuestTest, MountsOfThePlanReplaceTheDefaults) {
  auto plan = GuestMachine::plan({"sh", "-c", "cat /proc/self/mounts; ls /dev"});
  const auto add = [&](const char* destination, const char* type,
                       const std::vector<std::string>& options) {
    auto& mount = *plan.add_mounts();
    mount.set_destination(destination);
    mount.set_type(type);
    mount.set_source(type);
    mount.mutable_options()->Add(options.begin(), options.end());
  };
  add("/proc", "proc", {});
  add("/new/place", "tmpfs", {"ro", "size=1m"});
  boot();
  first_ = machine_->start(plan);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  EXPECT_THAT(first_->out, AllOf(HasSubstr("tmpfs /new/place tmpfs ro,relatime,size=1024k"),
                                 Not(HasSubstr("sysfs"))));
}

// --- terminals ---

TEST_F(GuestTest, TerminalIsOne) {
  auto plan = GuestMachine::plan(
      {"sh", "-c",
       "tty; stty size; ls /dev/console; echo $TERM; "
       "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done"});
  plan.mutable_process()->set_terminal(true);
  plan.mutable_process()->set_terminal_columns(100);
  plan.mutable_process()->set_terminal_rows(30);
  boot();
  first_ = machine_->start(plan, "");
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  ASSERT_TRUE(machine_->wait_until([&] { return first_->out.ends_with("ready\r\n"); }))
      << first_->out;
  EXPECT_EQ(first_->out, "/dev/pts/0\r\n30 100\r\n/dev/console\r\nxterm\r\nready\r\n");
  EXPECT_THAT(machine_->resize("", 120, 40), IsOk());
  machine_->finish(*first_);
  EXPECT_THAT(first_->out, EndsWith("40 120\r\n"));
  EXPECT_EQ(first_->end->status, 4);
}

TEST_F(GuestTest, KeysOfATerminalWork) {
  boot_idle();
  auto process = GuestMachine::process({"sh", "-c", "echo up; cat; echo after"});
  process.set_terminal(true);
  const auto host = machine_->exec(process, "");
  ASSERT_TRUE(machine_->wait_until([&] { return host->out == "up\r\n"; })) << host->out;
  machine_->send(host, "hello\n");
  ASSERT_TRUE(machine_->wait_until([&] { return host->out.contains("hello\r\nhello\r\n"); }))
      << host->out;
  machine_->send(host, "\x04");  // end of file
  machine_->finish(*host);
  EXPECT_THAT(host->out, EndsWith("after\r\n"));
  const auto interrupted = machine_->exec(process, "");
  ASSERT_TRUE(machine_->wait_until([&] { return interrupted->out == "up\r\n"; }));
  machine_->send(interrupted, "\x03");
  machine_->finish(*interrupted);
  EXPECT_EQ(interrupted->end->status, 130);
  EXPECT_THAT(machine_->resize("exec-1", 1, 1), IsError(ErrorCode::NotFound));
}

// --- exec ---

TEST_F(GuestTest, ExecReturnsAlthoughOthersHoldItsOutput) {
  boot_idle();
  const auto began = std::chrono::steady_clock::now();
  const auto host = machine_->run(GuestMachine::process({"sh", "-c", "sleep 1000 & echo back"}));
  ASSERT_TRUE(host->end.has_value());
  EXPECT_EQ(host->out, "back\n");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(8));
}

TEST_F(GuestTest, ExecSeesItsEndBySignal) {
  boot_idle();
  const auto host = machine_->exec(GuestMachine::process({"sleep", "1000"}));
  EXPECT_THAT(machine_->signal(host->id, SIGTERM), IsOk());
  machine_->finish(*host);
  EXPECT_EQ(host->end->signal, SIGTERM);
  EXPECT_EQ(host->end->status, 143);
  EXPECT_THAT(machine_->signal("exec-99", SIGTERM), IsError(ErrorCode::NotFound));
  EXPECT_THAT(machine_->signal("", 999), IsError(ErrorCode::Invalid));
}

TEST_F(GuestTest, SignalReachesAll) {
  boot_idle();
  const auto one = machine_->exec(GuestMachine::process({"sleep", "1000"}));
  const auto two = machine_->exec(GuestMachine::process({"sleep", "1000"}));
  EXPECT_THAT(machine_->signal("", SIGTERM, Scope::Container), IsOk());
  machine_->finish(*one);
  machine_->finish(*two);
  EXPECT_EQ(one->end->signal, SIGTERM);
  EXPECT_EQ(two->end->signal, SIGTERM);
  EXPECT_FALSE(first_->end.has_value());
}

TEST_F(GuestTest, ManyAtATimeAndOneAfterAnother) {
  boot_idle();
  std::vector<std::shared_ptr<HostProcess>> many;
  many.reserve(20);
  for (int i = 0; i < 20; ++i) {
    many.push_back(
        machine_->exec(GuestMachine::process({"sh", "-c", fmt::format("sleep 0.2; exit {}", i)})));
  }
  for (int i = 0; i < 20; ++i) {
    machine_->finish(*many[static_cast<std::size_t>(i)]);
    EXPECT_EQ(many[static_cast<std::size_t>(i)]->end->status, i);
  }
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(machine_->run(GuestMachine::process({"true"}))->end->status, 0);
  }
  GTEST_LOG_(INFO) << "exec of true: "
                   << std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() -
                                                                began)
                              .count() /
                          50
                   << " ms";
  EXPECT_THAT(machine_->processes(), IsOkAnd(ElementsAre(1)));
}

// --- images that mean harm ---

TEST_F(GuestTest, HostileImageIsContained) {
  const std::string base = directory_.path("hostile");
  ASSERT_THAT(make_base_image(directory_, base,
                              [](const std::string& tree) {
                                namespace fs = std::filesystem;
                                fs::remove_all(tree + "/proc");
                                fs::remove_all(tree + "/dev");
                                fs::remove_all(tree + "/sys");
                                fs::remove(tree + "/etc/passwd");
                                fs::create_symlink("/var/proc", tree + "/proc");
                                fs::create_symlink("../../../../run/devices", tree + "/dev");
                                fs::create_symlink("../run/systemd/resolve/stub-resolv.conf",
                                                   tree + "/etc/resolv.conf");
                                fs::create_symlink("/proc/self/fd/5", tree + "/etc/hostname");
                                ::mkfifo((tree + "/etc/hosts").c_str(), 0644);
                                ::mkfifo((tree + "/etc/passwd").c_str(), 0644);
                                fs::create_directories(tree + "/run");
                                // Names that mean something to init or to other runtimes.
                                for (const char* name :
                                     {"rehearsal", "upper", "work", "init", "run/base", "run/files",
                                      "run/scratch", ".krun_config.json", ".krun_vm.json"}) {
                                  std::ofstream(fmt::format("{}/{}", tree, name)) << name << '\n';
                                }
                              }),
              IsOk());
  auto plan = GuestMachine::plan({"sh", "-c",
                                  "cat /etc/hosts /etc/resolv.conf; echo > /dev/null; "
                                  "cat /proc/self/comm; ls /proc/self/fd | wc -l; "
                                  "cat /rehearsal /upper /work /init /run/base /run/files "
                                  "/run/scratch /.krun_config.json /.krun_vm.json"});
  for (const char* path : {"/etc/hosts", "/etc/resolv.conf"}) {
    auto& file = *plan.add_files();
    file.set_path(path);
    file.set_content(std::string(path) + "\n");
  }
  boot({.base = base, .scratch = ""});
  first_ = machine_->start(plan);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  EXPECT_EQ(first_->out,
            "/etc/hosts\n/etc/resolv.conf\ncat\n4\n"
            "rehearsal\nupper\nwork\ninit\nrun/base\nrun/files\n"
            "run/scratch\n.krun_config.json\n.krun_vm.json\n")
      << first_->err;
}

TEST_F(GuestTest, AMountPointThatIsNoDirectoryIsAClearError) {
  for (const std::string path : {"/proc", "/dev", "/sys"}) {
    const std::string base = directory_.path("odd");
    ASSERT_THAT(make_base_image(directory_, base,
                                [&](const std::string& tree) {
                                  std::filesystem::remove_all(tree + path);
                                  ::mkfifo((tree + path).c_str(), 0644);
                                }),
                IsOk());
    boot({.base = base, .scratch = ""});
    first_ = machine_->start(GuestMachine::plan({"true"}));
    EXPECT_EQ(first_->outcome.failure, StartFailure::Setup) << path;
    EXPECT_THAT(first_->outcome.message, HasSubstr(path));
    EXPECT_THAT(machine_->shut_down(), IsOk());
  }
}

TEST_F(GuestTest, FileWhereTheImageHasADirectoryIsAClearError) {
  const std::string base = directory_.path("odd");
  ASSERT_THAT(make_base_image(directory_, base,
                              [](const std::string& tree) {
                                std::filesystem::create_directories(tree + "/etc/hosts");
                              }),
              IsOk());
  auto plan = GuestMachine::plan({"true"});
  plan.add_files()->set_path("/etc/hosts");
  boot({.base = base, .scratch = ""});
  first_ = machine_->start(plan);
  EXPECT_EQ(first_->outcome.failure, StartFailure::Setup);
  EXPECT_THAT(first_->outcome.message, HasSubstr("is a directory in the image"));
}

// --- network ---

TEST_F(GuestTest, InterfaceIsFoundByItsAddress) {
  auto plan =
      GuestMachine::plan({"sh", "-c", "ip addr; ip route; ping -c 1 127.0.0.1 | grep -c ttl"});
  auto& interface = *plan.mutable_network()->add_interfaces();
  interface.set_name("uplink0");
  interface.set_mac_address("02:00:0a:4f:00:02");
  interface.set_mtu(1400);
  interface.add_addresses("10.79.0.2/16");
  interface.add_addresses("fd00:79::2/64");
  auto& route = *plan.mutable_network()->add_routes();
  route.set_destination("0.0.0.0/0");
  route.set_gateway("10.79.0.1");
  route.set_interface("uplink0");
  boot({.base = "",
        .scratch = "",
        .extra = {"-netdev", "user,id=net,restrict=on", "-device",
                  "virtio-net-device,netdev=net,mac=02:00:0a:4f:00:02"}});
  first_ = machine_->start(plan);
  ASSERT_EQ(first_->outcome.failure, StartFailure::None) << first_->outcome.message;
  machine_->finish(*first_);
  EXPECT_THAT(first_->out, AllOf(HasSubstr("lo: <LOOPBACK,UP"), HasSubstr("127.0.0.1/8"),
                                 HasSubstr("uplink0: <"), HasSubstr("BROADCAST,MULTICAST,UP"),
                                 HasSubstr("mtu 1400"), HasSubstr("inet 10.79.0.2/16 "),
                                 HasSubstr("inet6 fd00:79::2/64"),
                                 HasSubstr("default via 10.79.0.1 dev uplink0")));
  EXPECT_THAT(first_->out, EndsWith("\n1\n"));
}

TEST_F(GuestTest, InterfaceThatIsMissingIsAClearError) {
  auto plan = GuestMachine::plan({"true"});
  plan.mutable_network()->add_interfaces()->set_mac_address("02:00:00:00:00:99");
  boot();
  first_ = machine_->start(plan);
  EXPECT_EQ(first_->outcome.failure, StartFailure::Setup);
  EXPECT_THAT(first_->outcome.message, HasSubstr("02:00:00:00:00:99"));
}

}  // namespace
}  // namespace bulkhead::guest_test
