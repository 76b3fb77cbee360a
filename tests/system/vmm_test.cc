// The virtual machine with a real kernel: boots, devices, every way to end, what is left.

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <ratio>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qemu_machine.h"

namespace bulkhead::vmm {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;

using Cause = MachineExit::Cause;

/// Generous: the machine may be emulated on a busy host.
constexpr auto kPatience = std::chrono::seconds(60);

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

std::string build_directory() { return environment_or("BULKHEAD_BUILD_DIR", "."); }

std::string kernel() {
  return environment_or("BULKHEAD_KERNEL", build_directory() + "/share/bulkhead/vmlinux");
}

class VmmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root";
    }
    if (!os::path_exists(kernel())) {
      GTEST_SKIP() << "no kernel at " << kernel();
    }
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    auto loop = os::EventLoop::create();
    ASSERT_THAT(loop, IsOk());
    loop_ = *std::move(loop);
  }

  void TearDown() override {
    machine_.reset();
    if (loop_) {
      ASSERT_THAT(os::remove_tree(directory_), IsOk());
      // Neither QEMU nor helper is left, not even as a zombie.
      EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    }
  }

  MachineConfig config() const {
    MachineConfig config;
    config.name = "test-machine";
    config.memory_bytes = 256U << 20U;
    config.kernel = kernel();
    config.initramfs = build_directory() + "/tests/vmm-init.cpio";
    return config;
  }

  qemu::Platform platform() const {
    auto found = qemu::Platform::find(
        {.run_directory = directory_ + "/run", .libexec = build_directory() + "/libexec"});
    EXPECT_THAT(found, IsOk());
    return *std::move(found);
  }

  void start(MachineConfig config) {
    auto machine = qemu::create_machine(*loop_, platform(), std::move(config));
    ASSERT_THAT(machine, IsOk());
    machine_ = *std::move(machine);
    ASSERT_THAT(machine_->start([this](const MachineExit& ending) { exit_ = ending; }), IsOk());
    channel_ = machine_->take_agent_channel();
    ASSERT_TRUE(channel_.is_open());
    ASSERT_THAT(loop_->watch(channel_.get(), EPOLLIN,
                             [this](std::uint32_t) {
                               std::array<std::byte, 4096> buffer{};
                               const auto size = os::try_read(channel_.get(), buffer);
                               if (size && *size && **size > 0) {
                                 received_ += as_text(std::span(buffer).first(**size));
                               } else if (!size || (*size && **size == 0)) {
                                 loop_->unwatch(channel_.get());
                               }
                             }),
                IsOk());
  }

  template <class Condition>
  bool wait_for(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline ||
          !loop_->run_once(std::chrono::milliseconds(50))) {
        return false;
      }
    }
    return true;
  }

  /// The next line from the guest; empty if none comes.
  std::string next_line() {
    if (!wait_for([this] { return received_.find('\n') != std::string::npos || exit_; }) ||
        received_.find('\n') == std::string::npos) {
      return {};
    }
    const std::size_t end = received_.find('\n');
    std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    return line;
  }

  std::vector<std::string> lines_to_dot() {
    std::vector<std::string> lines;
    for (std::string line = next_line(); !line.empty() && line != "."; line = next_line()) {
      lines.push_back(line);
    }
    return lines;
  }

  void tell(std::string_view line) {
    ASSERT_THAT(os::write_all(channel_.get(), as_bytes(line)), IsOk());
  }

  void boot(MachineConfig config) {
    start(std::move(config));
    ASSERT_EQ(next_line(), "ready") << (exit_ ? exit_->description : machine_->console_tail());
  }

  void expect_exit(Cause cause, const std::string& description) {
    ASSERT_TRUE(wait_for([this] { return exit_.has_value(); })) << machine_->console_tail();
    EXPECT_EQ(exit_->cause, cause) << exit_->description;
    EXPECT_THAT(exit_->description, HasSubstr(description));
    EXPECT_EQ(machine_->pid(), 0);
  }

  os::UniqueFd make_disk(const std::string& name, std::uint64_t size, int flags) const {
    const std::string path = directory_ + "/" + name;
    {
      const os::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    }
    return os::UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
  }

  std::string directory_ = testing::TempDir() + "bulkhead-vmm-XXXXXX";
  std::unique_ptr<os::EventLoop> loop_;
  std::unique_ptr<Machine> machine_;
  os::UniqueFd channel_;
  std::string received_;
  std::optional<MachineExit> exit_;
};

TEST_F(VmmTest, BootsAndTalksAndQuits) {
  boot(config());
  tell("e hello\n");
  EXPECT_EQ(next_line(), "e hello");
  machine_->quit(std::chrono::seconds(10));
  expect_exit(Cause::Shutdown, "quit");
  EXPECT_EQ(exit_->status.code, 0);
}

TEST_F(VmmTest, WhatIsWrittenBeforeTheGuestListensWaits) {
  start(config());
  tell("e early\n");
  EXPECT_EQ(next_line(), "ready");
  EXPECT_EQ(next_line(), "e early");
}

TEST_F(VmmTest, GuestHasTheMemoryAndProcessorsAskedFor) {
  MachineConfig two = config();
  two.vcpus = 2;
  two.memory_bytes = 512U << 20U;
  boot(std::move(two));
  tell("m\n");
  const std::string answer = next_line();
  EXPECT_THAT(answer, testing::EndsWith(" 2"));
  const long kibibytes = std::strtol(answer.c_str(), nullptr, 10);
  EXPECT_GT(kibibytes, 450 * 1024);
  EXPECT_LE(kibibytes, 512 * 1024);
}

TEST_F(VmmTest, BootsInTheLeastMemory) {
  MachineConfig least = config();
  least.memory_bytes = kLeastMemoryBytes;
  boot(std::move(least));
}

TEST_F(VmmTest, DisksAreRawAndFoundBySerialAndReadOnlyOnesCannotBeWritten) {
  MachineConfig with_disks = config();
  with_disks.disks.push_back({.serial = "base",
                              .file = make_disk("base", 8U << 20U, O_RDONLY),
                              .access = Access::ReadOnly});
  // A header of another format in a raw disk means nothing.
  os::UniqueFd scratch = make_disk("scratch", 64U << 20U, O_RDWR);
  ASSERT_THAT(os::pwrite_all(scratch.get(), as_bytes(std::string_view("QFI\xfb\0\0\0\3", 8)), 0),
              IsOk());
  with_disks.disks.push_back(
      {.serial = "scratch", .file = std::move(scratch), .access = Access::ReadWrite});
  boot(std::move(with_disks));
  tell("d\n");
  const std::vector<std::string> disks = lines_to_dot();
  ASSERT_EQ(disks.size(), 2U);
  std::string scratch_name;
  for (const std::string& disk : disks) {
    EXPECT_THAT(disk, AnyOf(HasSubstr(" base 16384 1"), HasSubstr(" scratch 131072 0")));
    if (disk.find("scratch") != std::string::npos) {
      scratch_name = disk.substr(0, disk.find(' '));
    }
  }
  const std::string base_name = scratch_name == "vda" ? "vdb" : "vda";
  tell(fmt::format("w {}\n", base_name));
  EXPECT_NE(next_line(), "ok");
  tell(fmt::format("w {}\n", scratch_name));
  EXPECT_EQ(next_line(), "ok");
  const auto written = os::open_file(directory_ + "/scratch", O_RDONLY);
  std::array<std::byte, 20> text{};
  ASSERT_THAT(os::pread_exactly(written->get(), text, 4096), IsOk());
  EXPECT_EQ(as_text(text), "written by the guest");
}

TEST_F(VmmTest, HasANetworkCardOnATapDescriptor) {
  os::UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tap.is_open()) {
    GTEST_SKIP() << "no /dev/net/tun";
  }
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::strncpy(request.ifr_name, "bhtest%d", IFNAMSIZ - 1);
  ASSERT_EQ(::ioctl(tap.get(), TUNSETIFF, &request), 0);
  MachineConfig with_network = config();
  with_network.network = NetworkDevice{.tap = std::move(tap), .mac_address = "02:00:00:00:00:2a"};
  boot(std::move(with_network));
  tell("n\n");
  EXPECT_THAT(lines_to_dot(), testing::Contains("eth0 02:00:00:00:00:2a"));
}

TEST_F(VmmTest, PausesAndResumes) {
  boot(config());
  std::optional<Result<>> paused;
  machine_->pause([&](Result<> result) { paused = std::move(result); });
  EXPECT_FALSE(paused);
  ASSERT_TRUE(wait_for([&] { return paused.has_value(); }));
  EXPECT_THAT(*paused, IsOk());
  tell("e frozen\n");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_THAT(loop_->run_once(std::chrono::milliseconds(10)), IsOk());
  }
  EXPECT_THAT(received_, IsEmpty());
  std::optional<Result<>> resumed;
  machine_->resume([&](Result<> result) { resumed = std::move(result); });
  EXPECT_EQ(next_line(), "e frozen");
  ASSERT_TRUE(wait_for([&] { return resumed.has_value(); }));
  EXPECT_THAT(*resumed, IsOk());
}

TEST_F(VmmTest, ReportsAGuestPanicWithItsLastWords) {
  boot(config());
  tell("p\n");
  expect_exit(Cause::GuestPanic, "Attempted to kill init");
  EXPECT_THAT(machine_->console_tail(), HasSubstr("Kernel panic - not syncing"));
}

TEST_F(VmmTest, ReportsAGuestThatResetsItself) {
  boot(config());
  tell("r\n");
  expect_exit(Cause::Shutdown, "reset");
}

TEST_F(VmmTest, ReportsAKilledProcess) {
  boot(config());
  ASSERT_EQ(::kill(machine_->pid(), SIGKILL), 0);
  expect_exit(Cause::Killed, "signal 9");
  EXPECT_EQ(exit_->status.signal, SIGKILL);
}

TEST_F(VmmTest, KillsAtOnce) {
  boot(config());
  machine_->kill();
  expect_exit(Cause::Killed, "as asked");
}

TEST_F(VmmTest, DestroyingItLeavesNothing) {
  boot(config());
  auto process = os::Process::adopt(machine_->pid());
  ASSERT_THAT(process, IsOk());
  loop_->unwatch(channel_.get());
  machine_.reset();
  EXPECT_THAT(os::wait_readable(process->pidfd(), std::chrono::milliseconds(0)), IsOkAnd(true));
  EXPECT_FALSE(exit_);
}

TEST_F(VmmTest, ACallerThatIsKilledTakesTheMachineWithIt) {
  auto pipe = os::make_pipe();
  ASSERT_THAT(pipe, IsOk());
  const pid_t caller = ::fork();
  if (caller == 0) {
    pid_t pid = 0;
    auto loop = os::EventLoop::create();
    auto machine = qemu::create_machine(**loop, platform(), config());
    if (machine && (*machine)->start([](const MachineExit&) {})) {
      pid = (*machine)->pid();
    }
    std::ignore = os::write_all(pipe->write_end.get(), object_bytes(pid));
    while (true) {
      std::ignore = (*loop)->run_once(std::chrono::seconds(1));
    }
  }
  pid_t pid = 0;
  ASSERT_THAT(os::read_some(pipe->read_end.get(), object_bytes(pid)), IsOk());
  ASSERT_GT(pid, 0);
  auto machine = os::Process::adopt(pid);
  ASSERT_THAT(machine, IsOk());
  ::kill(caller, SIGKILL);
  ::waitpid(caller, nullptr, 0);
  EXPECT_THAT(os::wait_readable(machine->pidfd(), std::chrono::seconds(5)), IsOkAnd(true));
}

TEST_F(VmmTest, RefusesWhatCannotBe) {
  MachineConfig small = config();
  small.memory_bytes = 8U << 20U;
  const auto too_small = qemu::create_machine(*loop_, platform(), std::move(small));
  ASSERT_THAT(too_small, IsError(ErrorCode::Invalid));
  EXPECT_THAT(too_small.error().message(), HasSubstr("MiB is the minimum"));

  MachineConfig without_kernel = config();
  without_kernel.kernel = "/nonexistent/vmlinux";
  EXPECT_THAT(qemu::create_machine(*loop_, platform(), std::move(without_kernel)),
              IsError(ErrorCode::NotFound));
}

TEST_F(VmmTest, SaysThatTheHostHasNoMemory) {
  MachineConfig huge = config();
  // More than the address space of the processor.
  huge.memory_bytes = 1ULL << 46U;
  start(std::move(huge));
  expect_exit(Cause::Failed, "the host has no memory for a machine of");
}

TEST_F(VmmTest, SaysWhatIsWrongWithAKernelThatIsNone) {
  MachineConfig broken = config();
  broken.kernel = "/etc/hostname";
  start(std::move(broken));
  expect_exit(Cause::Failed, "qemu exited with status 1");
}

TEST_F(VmmTest, AJailedMachineReachesKvm) {
  if (!os::path_exists("/dev/kvm")) {
    GTEST_SKIP() << "no /dev/kvm";
  }
  MachineConfig with_kvm = config();
  with_kvm.accelerator = Accelerator::Kvm;
  with_kvm.starts_paused = true;  // a guest need not run for this, and may not be able to
  start(std::move(with_kvm));
  std::optional<Result<AcceleratorStatus>> status;
  machine_->query_accelerator(
      [&](Result<AcceleratorStatus> result) { status = std::move(result); });
  ASSERT_TRUE(wait_for([&] { return status.has_value() || exit_.has_value(); }));
  ASSERT_FALSE(exit_) << exit_->description;
  ASSERT_THAT(*status, IsOk());
  EXPECT_TRUE((*status)->kvm_is_enabled);
  EXPECT_TRUE((*status)->kvm_is_present);
}

TEST_F(VmmTest, DecidesOnAnAcceleratorThatBootsAndRemembersIt) {
  const std::string probe = build_directory() + "/libexec/bulkhead-kvm-probe";
  const auto begin = std::chrono::steady_clock::now();
  const HostAccelerator first = host_accelerator(directory_ + "/run", probe);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_FALSE(first.decision.reason.empty());
  fmt::print("accelerator: {}: {}; tsc {} kHz\n", to_string(first.decision.accelerator),
             first.decision.reason, first.tsc_khz);
  EXPECT_EQ(host_accelerator(directory_ + "/run", "/nonexistent"), first);
  // A damaged file is replaced.
  ASSERT_THAT(os::write_file_atomically(directory_ + "/run/accelerator.json", "{", 0600), IsOk());
  EXPECT_EQ(host_accelerator(directory_ + "/run", probe).decision.accelerator,
            first.decision.accelerator);
  boot(config());
}

TEST_F(VmmTest, TimesOfAStart) {
  std::vector<double> jail;
  std::vector<double> greeting;
  std::vector<double> ready;
  for (int i = 0; i < 11; ++i) {
    boot(config());
    using Milliseconds = std::chrono::duration<double, std::milli>;
    const Machine::Timing timing = machine_->timing();
    const auto since = [&](std::chrono::steady_clock::time_point when) {
      return Milliseconds(when - *timing.launched).count();
    };
    ready.push_back(since(std::chrono::steady_clock::now()));
    jail.push_back(since(*timing.executed));
    greeting.push_back(timing.greeted ? since(*timing.greeted) : 0);
    loop_->unwatch(channel_.get());
    channel_.reset();
    machine_.reset();
    received_.clear();
  }
  for (std::vector<double>* times : {&jail, &greeting, &ready}) {
    times->erase(times->begin());  // the first fills caches
    std::ranges::sort(*times);
  }
  fmt::print("from start(): executed {:.1f} ms, QMP greeting {:.1f} ms, guest ready {:.1f} ms\n",
             jail[5], greeting[5], ready[5]);
}

}  // namespace
}  // namespace bulkhead::vmm
