#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/installation.h"

namespace bulkhead::vmm::qemu {

/// What a machine needs from the installation.
struct Environment {
  std::string run_directory;  ///< leases of user ids; what is known of host and QEMU
  std::string libexec;        ///< holds bulkhead-jail and bulkhead-kvm-probe
};

/// What machines of this host run on, found out once for whatever is made of it.
struct Platform {
  Environment environment;
  Installation installation;
  HostAccelerator host;

  /// Errors: NotFound when QEMU is absent, naming the package qemu-system-x86; as
  /// find_installation.
  static Result<Platform> find(Environment environment);
};

/// What the NIC of a machine that is saved has for an address; its clones set their own, in the
/// guest.
inline constexpr std::string_view kSavedMacAddress = "02:00:00:00:00:01";

/// All that two machines must share for one to go on where the other was saved: the machine's
/// devices with the sizes of its disks, processor, kernel, initramfs and QEMU with the times of
/// their files. Text, for comparing; equal configurations of one host and boot give equal text.
/// Errors: as create_machine.
Result<std::string> shape(const Platform& platform, const MachineConfig& config);

/// Checks the configuration and makes a machine that is not started yet.
/// Errors: Invalid, naming the limit, for too little memory, too many processors or disks, a bad
/// serial or MAC, a read-only disk that is open for writing; NotFound when kernel or initramfs is
/// absent.
Result<std::unique_ptr<Machine>> create_machine(os::EventLoop& loop, Platform platform,
                                                MachineConfig config);

}  // namespace bulkhead::vmm::qemu
