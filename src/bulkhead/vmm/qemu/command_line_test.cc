#include "bulkhead/vmm/qemu/command_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

MachinePlan example() {
  return {.name = "abc",
          .accelerator = Accelerator::Tcg,
          .tsc_khz = 2596134,
          .vcpus = 2,
          .memory_bytes = 1U << 30U,
          .kernel_arguments = {"bulkhead.x=1"},
          .disks = {{.serial = "base", .access = Access::ReadOnly},
                    {.serial = "scratch", .access = Access::ReadWrite}},
          .mac_address = "02:00:00:00:00:01"};
}

/// The value after the `which`th occurrence of an option.
std::string value_of(const std::vector<std::string>& arguments, std::string_view option,
                     std::size_t which = 0) {
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == option && which-- == 0) {
      return arguments[i + 1];
    }
  }
  return "(none)";
}

std::vector<std::string> values_of(const std::vector<std::string>& arguments,
                                   std::string_view option) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == option) {
      values.push_back(arguments[i + 1]);
    }
  }
  return values;
}

TEST(CommandLine, IsTheMachineAskedFor) {
  const auto arguments = command_line(example());
  EXPECT_EQ(arguments.front(), "/qemu");
  EXPECT_EQ(value_of(arguments, "-smp"), "2");
  EXPECT_EQ(value_of(arguments, "-m"), "1024M");
  EXPECT_EQ(value_of(arguments, "-accel"), "tcg,thread=multi,tb-size=256");
  EXPECT_THAT(value_of(arguments, "-cpu"), testing::StartsWith("max"));
  EXPECT_THAT(value_of(arguments, "-M"), HasSubstr("microvm,acpi=off"));
  EXPECT_THAT(arguments, IsSupersetOf({"-nodefaults", "-no-user-config", "-no-reboot"}));
  EXPECT_THAT(arguments, Not(Contains("-S")));
}

TEST(CommandLine, IsSandboxedAlways) {
  for (const Accelerator accelerator : {Accelerator::Tcg, Accelerator::Kvm}) {
    MachinePlan plan = example();
    plan.accelerator = accelerator;
    EXPECT_EQ(value_of(command_line(plan), "-sandbox"),
              "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  }
}

TEST(CommandLine, NamesEveryDiskFormatAndOpensDisksByDescriptorOnly) {
  const auto arguments = command_line(example());
  const auto disks = values_of(arguments, "-blockdev");
  ASSERT_EQ(disks.size(), 4U);
  EXPECT_THAT(disks[0],
              AllOf(HasSubstr(R"("driver":"file")"), HasSubstr(R"("node-name":"file0")"),
                    HasSubstr(R"("filename":"/dev/fdset/1")"), HasSubstr(R"("read-only":true)")));
  EXPECT_THAT(disks[1], AllOf(HasSubstr(R"("node-name":"disk0")"), HasSubstr(R"("file":"file0")"),
                              HasSubstr(R"("read-only":true)")));
  EXPECT_THAT(disks[2],
              AllOf(HasSubstr(R"("filename":"/dev/fdset/2")"), HasSubstr(R"("read-only":false)")));
  EXPECT_THAT(disks[3], AllOf(HasSubstr(R"("node-name":"disk1")"), HasSubstr(R"("file":"file1")"),
                              HasSubstr(R"("read-only":false)")));
  EXPECT_THAT(disks, Each(HasSubstr(R"("auto-read-only":false)")));
  EXPECT_THAT(values_of(arguments, "-add-fd"), testing::ElementsAre("fd=7,set=1", "fd=8,set=2"));
  EXPECT_THAT(arguments, Not(Contains("-drive")));
  EXPECT_THAT(arguments, Not(Contains("-hda")));
}

TEST(CommandLine, HasItsDevicesInOneOrder) {
  const auto devices = values_of(command_line(example()), "-device");
  std::vector<std::string> kinds;
  kinds.reserve(devices.size());
  for (const std::string& device : devices) {
    kinds.push_back(device.substr(0, device.find(',')));
  }
  EXPECT_THAT(
      kinds, testing::ElementsAre("virtio-serial-device", "virtconsole", "virtserialport",
                                  "virtio-balloon-device", "virtio-net-device", "virtio-blk-device",
                                  "virtio-blk-device", "virtio-9p-device"));
}

TEST(CommandLine, HasADeviceForSharesWhetherThereAreAnyOrNot) {
  EXPECT_EQ(value_of(command_line(example()), "-fsdev"),
            "local,id=shares,path=/shares,security_model=passthrough,multidevs=remap");
}

TEST(CommandLine, DataDisksAreBehindAControllerOfTheShape) {
  MachinePlan plan = example();
  EXPECT_THAT(values_of(command_line(plan), "-device"), Not(Contains(HasSubstr("scsi"))));
  EXPECT_THAT(kernel_command_line(plan), Not(HasSubstr("scsi")));
  plan.takes_data_disks = true;
  const auto without = command_line(plan);
  EXPECT_THAT(values_of(without, "-device"), Contains(testing::StartsWith("virtio-scsi-device")));
  EXPECT_THAT(kernel_command_line(plan), HasSubstr(" scsi_mod.scan=manual"));
  plan.data_disks = {Access::ReadWrite, Access::ReadOnly};
  auto with = command_line(plan);
  EXPECT_THAT(with, Contains("scsi-hd,bus=scsi.0,channel=0,scsi-id=1,lun=0,drive=disk4,"
                             "serial=data1,werror=report,rerror=report"));
  EXPECT_THAT(with, Contains(AllOf(HasSubstr(R"("node-name":"file4")"),
                                   HasSubstr(R"("filename":"/dev/fdset/5")"),
                                   HasSubstr(R"("read-only":true)"))));
  EXPECT_THAT(with, Contains("fd=13,set=5"));
  // They come behind everything that is saved.
  with.resize(without.size());
  EXPECT_EQ(with, without);
}

TEST(CommandLine, FitsTheEightSlotsOfAMachineWithoutAcpi) {
  MachinePlan most = example();
  most.disks.assign(kMostDisks, {.serial = "x", .access = Access::ReadWrite});
  most.takes_data_disks = true;
  most.data_disks.assign(kMostDataDisks, Access::ReadWrite);
  std::size_t slots = 0;
  for (const std::string& device : values_of(command_line(most), "-device")) {
    slots += device.substr(0, device.find(',')).ends_with("-device") ? 1U : 0U;
  }
  EXPECT_LE(slots, 8U);
}

TEST(CommandLine, AMachineThatIsSavedHasItsMemoryInAFile) {
  MachinePlan plan = example();
  EXPECT_THAT(value_of(command_line(plan), "-M"), Not(HasSubstr("memory-backend")));
  plan.memory_use = MemoryUse::Saved;
  const auto arguments = command_line(plan);
  EXPECT_THAT(value_of(arguments, "-M"), HasSubstr(",memory-backend=memory"));
  EXPECT_EQ(value_of(arguments, "-object"),
            "memory-backend-file,id=memory,mem-path=/memory,size=1073741824,share=on,dump=off,"
            "merge=off");
  EXPECT_THAT(arguments, Contains("-kernel"));
  EXPECT_THAT(arguments, Not(Contains("-incoming")));
}

TEST(CommandLine, ARestoredMachineBootsNothingAndKeepsItsMemoryToItself) {
  MachinePlan plan = example();
  plan.memory_use = MemoryUse::Restored;
  const auto arguments = command_line(plan);
  EXPECT_THAT(value_of(arguments, "-object"), HasSubstr("share=off"));
  EXPECT_EQ(value_of(arguments, "-incoming"), "defer");
  for (const char* option : {"-kernel", "-initrd", "-append"}) {
    EXPECT_THAT(arguments, Not(Contains(option)));
  }
  // Nobody on the network hears of the saved machine's address.
  EXPECT_THAT(values_of(arguments, "-global"), Contains("migration.announce-rounds=0"));
  // Otherwise it is the same machine, device for device.
  plan.memory_use = MemoryUse::Saved;
  EXPECT_EQ(values_of(arguments, "-device"), values_of(command_line(plan), "-device"));
  EXPECT_EQ(value_of(arguments, "-M"), value_of(command_line(plan), "-M"));
}

TEST(CommandLine, WithoutNetworkThereIsNoCard) {
  MachinePlan plan = example();
  plan.mac_address.reset();
  const auto arguments = command_line(plan);
  EXPECT_THAT(arguments, Not(Contains("-netdev")));
  EXPECT_THAT(arguments, Not(Contains(HasSubstr("virtio-net"))));
}

TEST(CommandLine, KvmUsesTheHostsProcessorAndItsClock) {
  MachinePlan plan = example();
  plan.accelerator = Accelerator::Kvm;
  plan.is_paused = true;
  const auto arguments = command_line(plan);
  EXPECT_EQ(value_of(arguments, "-accel"), "kvm");
  EXPECT_EQ(value_of(arguments, "-cpu"), "host");
  EXPECT_THAT(value_of(arguments, "-M"), HasSubstr("rtc=off"));
  EXPECT_THAT(arguments, Contains("-S"));
  plan.kvm_refuses_arch_capabilities = true;
  EXPECT_EQ(value_of(command_line(plan), "-cpu"), "host,-arch-capabilities");
}

TEST(KernelCommandLine, TellsUnderTcgWhatCannotBeMeasured) {
  MachinePlan plan = example();
  EXPECT_THAT(kernel_command_line(plan), HasSubstr(" lapic_timer_khz=1000000 "));
  EXPECT_THAT(kernel_command_line(plan), HasSubstr(" tsc_early_khz=2596134 lpj=10384536 "));
  EXPECT_THAT(kernel_command_line(plan), testing::EndsWith(" bulkhead.x=1"));
  EXPECT_THAT(value_of(command_line(plan), "-M"), HasSubstr("pit=off,pic=off"));
  plan.tsc_khz = 0;
  EXPECT_THAT(kernel_command_line(plan), Not(HasSubstr("tsc_early_khz")));
}

TEST(KernelCommandLine, AnotherKernelKeepsTheTimerChip) {
  MachinePlan plan = example();
  plan.kernel_takes_timer_rate = false;
  EXPECT_THAT(kernel_command_line(plan), HasSubstr(" nolapic_timer "));
  EXPECT_THAT(kernel_command_line(plan), Not(HasSubstr("lapic_timer_khz")));
  EXPECT_THAT(value_of(command_line(plan), "-M"), HasSubstr("pit=on,pic=on"));
}

TEST(KernelCommandLine, KvmNeedsNoneOfThis) {
  MachinePlan plan = example();
  plan.accelerator = Accelerator::Kvm;
  for (const char* word : {"lapic", "tsc_early_khz"}) {
    EXPECT_THAT(kernel_command_line(plan), Not(HasSubstr(word)));
  }
  // Hardware speculates.
  EXPECT_THAT(kernel_command_line(plan), Not(HasSubstr("mitigations=off")));
}

class CheckTest : public testing::Test {
 protected:
  void SetUp() override {
    fd_ = os::UniqueFd(::mkstemp(path_.data()));
    ASSERT_TRUE(fd_.is_open());
  }

  void TearDown() override { ::unlink(path_.c_str()); }

  DiskDevice disk(std::string serial, int flags, Access access) const {
    auto file = os::open_file(path_, flags);
    EXPECT_THAT(file, IsOk());
    return {.serial = std::move(serial), .file = *std::move(file), .access = access};
  }

  static MachineConfig config() {
    MachineConfig config;
    config.name = "test";
    return config;
  }

  std::string path_ = testing::TempDir() + "bulkhead-disk-XXXXXX";
  os::UniqueFd fd_;
};

TEST_F(CheckTest, AcceptsAnOrdinaryMachine) {
  MachineConfig good = config();
  good.disks.push_back(disk("base", O_RDONLY, Access::ReadOnly));
  good.disks.push_back(disk("scratch", O_RDWR, Access::ReadWrite));
  good.network = NetworkDevice{.tap = {}, .mac_address = "02:42:ac:11:00:02"};
  good.kernel_arguments = {"bulkhead.log=debug"};
  EXPECT_THAT(check(good), IsOk());
}

TEST_F(CheckTest, NamesTheLimitThatIsExceeded) {
  MachineConfig small = config();
  small.memory_bytes = 4U << 20U;
  const auto result = check(small);
  ASSERT_THAT(result, IsError(ErrorCode::Invalid));
  EXPECT_EQ(result.error().message(), "memory of 4 MiB is too small: 64 MiB is the minimum");

  MachineConfig odd = config();
  odd.memory_bytes = (128U << 20U) + 1;
  EXPECT_THAT(check(odd), IsError(ErrorCode::Invalid));

  for (const std::uint32_t vcpus : {0U, kMostVcpus + 1}) {
    MachineConfig config_with = config();
    config_with.vcpus = vcpus;
    EXPECT_THAT(check(config_with), IsError(ErrorCode::Invalid));
  }

  MachineConfig many = config();
  for (std::size_t i = 0; i <= kMostDisks; ++i) {
    many.disks.push_back(disk("d" + std::to_string(i), O_RDONLY, Access::ReadOnly));
  }
  EXPECT_THAT(check(many), IsError(ErrorCode::Invalid));
}

TEST_F(CheckTest, AReadOnlyDiskMustNotBeOpenForWriting) {
  MachineConfig bad = config();
  bad.disks.push_back(disk("base", O_RDWR, Access::ReadOnly));
  EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid));
  bad.disks.clear();
  bad.disks.push_back(disk("scratch", O_RDONLY, Access::ReadWrite));
  EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid));
}

TEST_F(CheckTest, ADiskIsARegularFile) {
  auto null = os::open_file("/dev/null", O_RDONLY);
  MachineConfig bad = config();
  bad.disks.push_back({.serial = "x", .file = *std::move(null), .access = Access::ReadOnly});
  EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid));
  bad.disks.clear();
  bad.disks.push_back({.serial = "x", .file = {}, .access = Access::ReadOnly});
  EXPECT_FALSE(check(bad).has_value());
}

TEST_F(CheckTest, NothingFromOutsideBecomesAnOption) {
  for (const char* serial : {"", "a,readonly=off", "a b", "123456789012345678901", "a=b", "ä"}) {
    MachineConfig bad = config();
    bad.disks.push_back(disk(serial, O_RDONLY, Access::ReadOnly));
    EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid)) << serial;
  }
  for (const char* mac : {"", "02:00:00:00:00", "02:00:00:00:00:01,x=y", "01:00:00:00:00:01",
                          "00:00:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01"}) {
    MachineConfig bad = config();
    bad.network = NetworkDevice{.tap = {}, .mac_address = mac};
    EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid)) << mac;
  }
  for (const char* argument : {"", "a b", "a\n", "\x7f"}) {
    MachineConfig bad = config();
    bad.kernel_arguments = {argument};
    EXPECT_THAT(check(bad), IsError(ErrorCode::Invalid)) << argument;
  }
  MachineConfig long_one = config();
  long_one.kernel_arguments = {std::string(4096, 'x')};
  EXPECT_THAT(check(long_one), IsError(ErrorCode::Invalid));
  MachineConfig bad_name = config();
  bad_name.name = "a,process=b";
  EXPECT_THAT(check(bad_name), IsError(ErrorCode::Invalid));
}

TEST_F(CheckTest, DataDisksAreForMachinesThatTakeThem) {
  MachineConfig with = config();
  const auto add = [&with](Access access) {
    auto file = os::open_file("/proc/self/exe", O_RDONLY);
    with.data_disks.push_back({.file = *std::move(file), .access = access});
  };
  add(Access::ReadOnly);
  EXPECT_THAT(check(with), IsError(ErrorCode::Invalid));
  with.takes_data_disks = true;
  EXPECT_THAT(check(with), IsOk());
  while (with.data_disks.size() < kMostDataDisks) {
    add(Access::ReadOnly);
  }
  EXPECT_THAT(check(with), IsOk());
  add(Access::ReadOnly);
  EXPECT_THAT(check(with), IsError(ErrorCode::Invalid));
  with.data_disks.clear();
  add(Access::ReadWrite);  // opened for reading only
  EXPECT_THAT(check(with), IsError(ErrorCode::Invalid));
}

TEST_F(CheckTest, SharesAreNotTooManyAndAbsolute) {
  MachineConfig with = config();
  with.shares.assign(kMostShares, {.path = "/srv"});
  EXPECT_THAT(check(with), IsOk());
  with.shares.push_back({.path = "/srv"});
  EXPECT_THAT(check(with), IsError(ErrorCode::Invalid));
  with.shares = {{.path = "srv"}};
  EXPECT_THAT(check(with), IsError(ErrorCode::Invalid));
}

TEST_F(CheckTest, SerialsAreDistinct) {
  MachineConfig twins = config();
  twins.disks.push_back(disk("same", O_RDONLY, Access::ReadOnly));
  twins.disks.push_back(disk("same", O_RDWR, Access::ReadWrite));
  EXPECT_THAT(check(twins), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::vmm::qemu
