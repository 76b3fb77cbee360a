#include "bulkhead/vmm/qemu/command_line.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/block_nodes.h"
#include "bulkhead/vmm/qemu/installation.h"

namespace bulkhead::vmm::qemu {
namespace {

constexpr std::uint64_t kMebibyte = 1U << 20U;
/// COMMAND_LINE_SIZE of x86, less what the machine appends for its devices (one virtio_mmio.device=
/// of about 45 characters for each of 8 slots).
constexpr std::size_t kLongestKernelArguments = 2048 - 512;

/// tb-size: MiB of translated code, after which all of it is dropped and made anew. A start
/// needs 28. QEMU's own limit, 1 GiB, would let a machine take that much of the host beside its
/// memory.
constexpr const char* kEmulator = "tcg,thread=multi,tb-size=256";

const char* processor(const MachinePlan& plan) {
  if (plan.accelerator == Accelerator::Kvm) {
    return plan.kvm_refuses_arch_capabilities ? "host,-arch-capabilities" : "host";
  }
  // All that TCG can do, as an AMD K8: the one family for which Linux clears and copies memory
  // without REP MOVS and STOS, which TCG runs an element at a time.
  return "max,-erms,-fsrm,family=15,model=4,stepping=0";
}

/// Whether the guest gets its timer from its local controller alone: under KVM, or where the kernel
/// is told its rate.
bool has_local_timer(const MachinePlan& plan) {
  return plan.accelerator == Accelerator::Kvm || plan.kernel_takes_timer_rate;
}

std::string machine_options(const MachinePlan& plan) {
  // Without ACPI there are 8 device slots, and nothing to parse at boot. No option ROMs: the
  // firmware starts the PVH kernel by itself. No serial port: the console is virtio. Guest memory
  // is neither in core dumps nor merged with that of others.
  std::string options =
      "microvm,acpi=off,pcie=off,x-option-roms=off,isa-serial=off,"
      "dump-guest-core=off,mem-merge=off";
  // QEMU 7.2 microvm, TCG: without the clock chip Linux waits a second for it. KVM has its own.
  options += plan.accelerator == Accelerator::Kvm ? ",rtc=off" : ",rtc=on";
  // Without interrupt controller and timer chip a kernel that cannot use its local timer has none.
  options += has_local_timer(plan) ? ",pit=off,pic=off" : ",pit=on,pic=on";
  if (plan.memory_use != MemoryUse::Anonymous) {
    options += ",memory-backend=memory";
  }
  return options;
}

void add_serial_devices(std::vector<std::string>& arguments) {
  const auto add = [&](std::string_view option, std::string value) {
    arguments.emplace_back(option);
    arguments.push_back(std::move(value));
  };
  add("-chardev", fmt::format("socket,id=console,fd={}", kConsoleDescriptor));
  add("-chardev", fmt::format("socket,id=agent,fd={}", kAgentDescriptor));
  // Each port costs the guest two queues at boot: no more than there are.
  add("-device", "virtio-serial-device,id=serial,max_ports=2");
  add("-device", "virtconsole,bus=serial.0,nr=0,chardev=console");
  add("-device",
      fmt::format("virtserialport,bus=serial.0,nr=1,chardev=agent,name={}", kAgentPortName));
}

/// The file at `descriptor` becomes the block node "disk<index>".
void add_block_node(std::vector<std::string>& arguments, std::size_t index, int descriptor,
                    Access access) {
  arguments.insert(
      arguments.end(),
      {"-add-fd", fmt::format("fd={},set={}", descriptor, file_set(index, DiskFile::First)),
       "-blockdev", json::write(file_node(index, DiskFile::First, access)), "-blockdev",
       json::write(disk_node(index, DiskFile::First, access))});
}

/// A full host disk is the guest's error, not a machine that stands still.
constexpr std::string_view kReportErrors = "werror=report,rerror=report";

void add_disk(std::vector<std::string>& arguments, std::size_t index,
              const MachinePlan::Disk& disk) {
  add_block_node(arguments, index, kFirstDiskDescriptor + static_cast<int>(index), disk.access);
  arguments.insert(
      arguments.end(),
      {"-device", fmt::format("virtio-blk-device,id=blk{0},drive=disk{0},serial={1},{2}", index,
                              disk.serial, kReportErrors)});
}

/// A controller, which is part of the shape, and disks behind it, which are not: a saved machine
/// has none, and one that is restored from it finds them when it looks.
void add_data_disks(std::vector<std::string>& arguments, const std::vector<Access>& disks) {
  arguments.insert(arguments.end(), {"-device",
                                     "virtio-scsi-device,id=scsi,num_queues=1,hotplug=off,"
                                     "param_change=off"});
  for (std::size_t target = 0; target < disks.size(); ++target) {
    const std::size_t index = kMostDisks + target;
    add_block_node(arguments, index, kFirstDataDiskDescriptor + static_cast<int>(target),
                   disks[target]);
    arguments.insert(arguments.end(),
                     {"-device", fmt::format("scsi-hd,bus=scsi.0,channel=0,scsi-id={0},lun=0,"
                                             "drive=disk{1},serial=data{0},{2}",
                                             target, index, kReportErrors)});
  }
}

/// One device for all shares, also when there are none: machines of a shape have the same devices.
void add_shares(std::vector<std::string>& arguments) {
  // Owners and modes are the files' own: the jail sees to it that they are right
  // (jail::Share). `remap`: files of several file systems have numbers of their own.
  arguments.insert(
      arguments.end(),
      {"-fsdev",
       fmt::format("local,id=shares,path={},security_model=passthrough,multidevs=remap",
                   kJailShares),
       "-device", fmt::format("virtio-9p-device,fsdev=shares,mount_tag={}", kSharesTag)});
}

/// Kernel and command line, or where a saved machine is and how it is taken up.
void add_origin(std::vector<std::string>& arguments, const MachinePlan& plan) {
  if (plan.memory_use != MemoryUse::Anonymous) {
    const bool is_restored = plan.memory_use == MemoryUse::Restored;
    arguments.insert(
        arguments.end(),
        {"-object",
         fmt::format(
             "memory-backend-file,id=memory,mem-path={},size={},share={},dump=off,merge=off",
             kJailMemory, plan.memory_bytes, is_restored ? "off" : "on")});
    if (is_restored) {
      // The network is not told of the saved machine's address: the guest gets another one.
      arguments.insert(arguments.end(),
                       {"-global", "migration.announce-rounds=0", "-incoming", "defer"});
      return;
    }
    arguments.insert(arguments.end(), {"-global", "migration.x-events=on"});
  }
  arguments.insert(arguments.end(),
                   {"-kernel", std::string(kJailKernel), "-initrd", std::string(kJailInitramfs),
                    "-append", kernel_command_line(plan)});
}

bool is_serial(std::string_view serial) {
  const bool has_length = !serial.empty() && serial.size() <= 20;
  return has_length && std::ranges::all_of(serial, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '_' || c == '-';
         });
}

/// Six pairs of hex digits, neither multicast nor all zero.
bool is_mac_address(std::string_view mac) {
  const auto pieces = split(mac, ':');
  const auto is_pair = [](std::string_view piece) {
    return piece.size() == 2 &&
           piece.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  };
  if (pieces.size() != 6 || !std::ranges::all_of(pieces, is_pair)) {
    return false;
  }
  const bool is_multicast = std::string_view("13579bdfBDF").find(mac[1]) != std::string_view::npos;
  return !is_multicast && mac.find_first_not_of("0:") != std::string_view::npos;
}

Result<> check_disk_file(const std::string& name, const os::UniqueFd& file, Access access) {
  const int flags = BH_TRY(os::open_flags(file.get()).context("disk " + name));
  const int wanted = access == Access::ReadOnly ? O_RDONLY : O_RDWR;
  if ((flags & O_ACCMODE) != wanted) {
    return fail(ErrorCode::Invalid, "disk {}: it must have been opened {}", name,
                access == Access::ReadOnly ? "read-only" : "for reading and writing");
  }
  if (!BH_TRY(os::file_info(file.get())).is_regular()) {
    return fail(ErrorCode::Invalid, "disk {}: not a regular file", name);
  }
  return {};
}

Result<> check_disks(const MachineConfig& config) {
  if (config.disks.size() > kMostDisks) {
    return fail(ErrorCode::Invalid, "{} disks: {} is the limit", config.disks.size(), kMostDisks);
  }
  std::set<std::string> serials;
  for (const DiskDevice& disk : config.disks) {
    if (!is_serial(disk.serial)) {
      return fail(ErrorCode::Invalid,
                  "disk serial {}: 1 to 20 letters, digits, - and _ are expected",
                  quote(disk.serial));
    }
    BH_TRY(check_disk_file(disk.serial, disk.file, disk.access));
    if (!serials.insert(disk.serial).second) {
      return fail(ErrorCode::Invalid, "two disks have the serial {}", disk.serial);
    }
  }
  if (config.data_disks.size() > kMostDataDisks) {
    return fail(ErrorCode::Invalid, "{} data disks: {} is the limit", config.data_disks.size(),
                kMostDataDisks);
  }
  if (!config.data_disks.empty() && !config.takes_data_disks) {
    return fail(ErrorCode::Invalid, "data disks of a machine that takes none");
  }
  for (std::size_t i = 0; i < config.data_disks.size(); ++i) {
    const DataDisk& disk = config.data_disks[i];
    BH_TRY(check_disk_file(fmt::format("data{}", i), disk.file, disk.access));
  }
  return {};
}

Result<> check_kernel_arguments(const std::vector<std::string>& arguments) {
  std::size_t length = 0;
  for (const std::string& argument : arguments) {
    length += argument.size() + 1;
    const bool is_word = !argument.empty() && std::ranges::all_of(argument, [](char c) {
      return c > ' ' && c < '\x7f';
    });
    if (!is_word) {
      return fail(ErrorCode::Invalid,
                  "kernel argument {}: a word of printable characters is expected",
                  quote(argument));
    }
  }
  if (length > kLongestKernelArguments / 2) {
    return fail(ErrorCode::Invalid, "kernel arguments: {} characters, {} is the limit", length,
                kLongestKernelArguments / 2);
  }
  return {};
}

}  // namespace

std::string kernel_command_line(const MachinePlan& plan) {
  // hvc0: the virtio console. A panic reboots at once, which ends the machine (-no-reboot);
  // reboot=t (triple fault) is what a machine without ACPI and keyboard controller understands.
  // No link in the container that nobody asked for.
  std::string line = "console=hvc0 quiet panic=-1 reboot=t dummy.numdummies=0";
  if (plan.accelerator == Accelerator::Tcg) {
    // An emulated processor speculates nothing, patching for one processor costs more than it
    // gains, and nothing in a microvm tells the rate of its time stamp counter, which is the
    // host's.
    line += " mitigations=off noreplace-smp tsc=reliable";
    // QEMU's local timer counts nanoseconds. A kernel without our option for that takes 0.2 s to
    // find out: it does without that timer.
    line += has_local_timer(plan) ? " lapic_timer_khz=1000000" : " nolapic_timer no_timer_check";
    // Per-CPU memory in single pages, not for as many processors as fit a large one.
    line += " percpu_alloc=page";
    if (plan.tsc_khz != 0) {
      // Delay loops are timed by that counter; a processor that is not told measures for 0.1 s.
      constexpr std::uint64_t kTicksPerSecond = 250;  // CONFIG_HZ
      line += fmt::format(" tsc_early_khz={} lpj={}", plan.tsc_khz,
                          std::uint64_t{plan.tsc_khz} * 1000 / kTicksPerSecond);
    }
  }
  if (plan.takes_data_disks) {
    line += " scsi_mod.scan=manual";  // else each of 256 targets is asked at boot
  }
  for (const std::string& argument : plan.kernel_arguments) {
    line += " " + argument;
  }
  return line;
}

std::vector<std::string> command_line(const MachinePlan& plan) {
  const bool is_kvm = plan.accelerator == Accelerator::Kvm;
  std::vector<std::string> arguments = {
      std::string(kJailProgram), "-name", plan.name,
      // Nothing that is not named here.
      "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-M",
      machine_options(plan), "-accel", is_kvm ? "kvm" : kEmulator, "-cpu", processor(plan), "-smp",
      std::to_string(plan.vcpus), "-m", fmt::format("{}M", plan.memory_bytes / kMebibyte),
      "-global", "virtio-mmio.force-legacy=false", "-chardev",
      fmt::format("socket,id=qmp,fd={}", kQmpDescriptor), "-mon", "chardev=qmp,mode=control"};
  add_origin(arguments, plan);
  if (plan.has_firmware) {
    arguments.insert(arguments.end(), {"-L", std::string(kJailFirmwareDirectory)});
  }
  if (plan.is_paused) {
    arguments.emplace_back("-S");
  }
  add_serial_devices(arguments);
  // Pages that the guest has freed go back to the host.
  arguments.insert(arguments.end(),
                   {"-device", "virtio-balloon-device,id=balloon,free-page-reporting=on"});
  if (plan.mac_address) {
    // guest_announce: QEMU 7.2 frees the timer of that in a machine that is restored and has
    // nothing to announce (announce-rounds), and falls over it when the guest resets the device: at
    // each orderly end.
    arguments.insert(
        arguments.end(),
        {"-netdev", fmt::format("tap,id=net,fd={},vhost=off", kTapDescriptor), "-device",
         fmt::format("virtio-net-device,id=nic,netdev=net,guest_announce=off,mac={}",
                     *plan.mac_address)});
  }
  for (std::size_t index = 0; index < plan.disks.size(); ++index) {
    add_disk(arguments, index, plan.disks[index]);
  }
  add_shares(arguments);
  if (plan.takes_data_disks) {
    add_data_disks(arguments, plan.data_disks);
  }
  return arguments;
}

Result<> check(const MachineConfig& config) {
  BH_TRY(validate_name("machine name", config.name));
  if (config.memory_bytes < kLeastMemoryBytes) {
    return fail(ErrorCode::Invalid, "memory of {} MiB is too small: {} MiB is the minimum",
                config.memory_bytes / kMebibyte, kLeastMemoryBytes / kMebibyte);
  }
  if (config.memory_bytes % kMebibyte != 0) {
    return fail(ErrorCode::Invalid, "memory of {} bytes: a multiple of 1 MiB is expected",
                config.memory_bytes);
  }
  if (config.vcpus < 1 || config.vcpus > kMostVcpus) {
    return fail(ErrorCode::Invalid, "{} processors: 1 to {} are possible", config.vcpus,
                kMostVcpus);
  }
  BH_TRY(check_disks(config));
  if (config.shares.size() > kMostShares) {
    return fail(ErrorCode::Invalid, "{} shared directories and files: {} is the limit",
                config.shares.size(), kMostShares);
  }
  for (const Share& share : config.shares) {
    if (!share.path.starts_with('/')) {
      return fail(ErrorCode::Invalid, "share {}: not an absolute path", quote(share.path));
    }
  }
  if (config.network && !is_mac_address(config.network->mac_address)) {
    return fail(ErrorCode::Invalid, "MAC address {}: not one of a single host",
                quote(config.network->mac_address));
  }
  return check_kernel_arguments(config.kernel_arguments);
}

}  // namespace bulkhead::vmm::qemu
