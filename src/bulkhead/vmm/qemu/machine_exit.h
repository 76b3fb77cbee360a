#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/os/process.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {

/// All that is known when QEMU has ended.
struct ExitEvidence {
  os::ExitStatus status;
  /// Of QMP's SHUTDOWN event: "guest-reset", "guest-shutdown", "host-qmp-quit", "guest-panic"…
  std::optional<std::string> shutdown_reason;
  bool quit_was_asked = false;
  bool kill_was_asked = false;
  std::string_view console;  ///< its tail
  std::string_view errors;   ///< stderr's tail
  std::uint64_t memory_bytes = 0;
};

/// Makes sense of it. Pure.
MachineExit explain_exit(const ExitEvidence& evidence);

}  // namespace bulkhead::vmm::qemu
