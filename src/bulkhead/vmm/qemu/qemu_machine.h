#pragma once

#include <memory>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {

/// What a machine needs from the installation.
struct Environment {
  std::string run_directory;  ///< leases of user ids; what is known of host and QEMU
  std::string libexec;        ///< holds bulkhead-jail and bulkhead-kvm-probe
};

/// Checks the configuration and makes a machine that is not started yet.
/// Errors: Invalid, naming the limit, for too little memory, too many processors or disks, a bad
/// serial or MAC, a read-only disk that is open for writing; NotFound when QEMU (naming the package
/// qemu-system-x86), kernel or initramfs is absent.
Result<std::unique_ptr<Machine>> create_machine(os::EventLoop& loop, Environment environment,
                                                MachineConfig config);

}  // namespace bulkhead::vmm::qemu
