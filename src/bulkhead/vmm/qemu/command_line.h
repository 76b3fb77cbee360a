#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {

/// Where the machine's descriptors stand in its process. Nothing is opened by name but kernel,
/// initramfs and firmware.
inline constexpr int kQmpDescriptor = 3;
inline constexpr int kAgentDescriptor = 4;
inline constexpr int kConsoleDescriptor = 5;
inline constexpr int kTapDescriptor = 6;
inline constexpr int kFirstDiskDescriptor = 7;
inline constexpr int kMemoryDescriptor = kFirstDiskDescriptor + static_cast<int>(kMostDisks);
inline constexpr int kStateDescriptor = kMemoryDescriptor + 1;
inline constexpr int kFirstDataDiskDescriptor = kStateDescriptor + 1;

inline constexpr std::string_view kJailKernel = "/kernel";
inline constexpr std::string_view kJailInitramfs = "/initramfs";
inline constexpr std::string_view kJailShares = "/shares";
/// Not a file: the preloaded library (preload.cc) opens kMemoryDescriptor for it.
inline constexpr std::string_view kJailMemory = "/memory";

/// What becomes of the machine's memory.
enum class MemoryUse : std::uint8_t {
  Anonymous,
  Saved,     ///< a file's pages, shared with it: the machine is to be saved
  Restored,  ///< a private view of a saved machine's file
};

/// A machine as its command line has it: values that have been checked.
struct MachinePlan {
  struct Disk {
    std::string serial;
    Access access = Access::ReadOnly;
  };

  std::string name;
  Accelerator accelerator = Accelerator::Tcg;
  std::uint32_t tsc_khz = 0;
  bool kvm_refuses_arch_capabilities = false;
  std::uint32_t vcpus = 1;
  std::uint64_t memory_bytes = 0;
  std::vector<std::string> kernel_arguments;
  /// The kernel understands lapic_timer_khz=, as ours does.
  bool kernel_takes_timer_rate = true;
  std::vector<Disk> disks;
  bool takes_data_disks = false;
  std::vector<Access> data_disks;
  std::optional<std::string> mac_address;  ///< nothing: no network
  bool has_firmware = true;
  bool is_paused = false;  ///< the processors wait for `cont`
  MemoryUse memory_use = MemoryUse::Anonymous;
};

/// What the guest kernel is told, for an accelerator. Pure.
std::string kernel_command_line(const MachinePlan& plan);

/// argv of the jailed QEMU. Pure: the same plan gives the same machine, device for device.
std::vector<std::string> command_line(const MachinePlan& plan);

/// Checks a configuration against what a machine can be; opens and changes nothing.
/// Errors: Invalid, naming the limit.
Result<> check(const MachineConfig& config);

}  // namespace bulkhead::vmm::qemu
