#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/process.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qemu_machine.h"

namespace bulkhead::runtime {

/// What distinguishes one template from another on the same host.
struct TemplateRequest {
  std::uint32_t vcpus = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t base_bytes = 0;     ///< size of the base disk
  std::uint64_t scratch_bytes = 0;  ///< size of the writable one
  bool has_network = true;
  bool takes_data_disks = false;
};

/// The shape of a machine that is to be made from `config`, whose kernel and initramfs are named.
/// Errors: as vmm::qemu::shape.
Result<TemplateShape> shape_of(const vmm::qemu::Platform& platform,
                               const vmm::MachineConfig& config);

struct TemplateOutcome {
  std::string key;
  bool is_new = false;  ///< otherwise there is one, or another process is making it
};

/// Boots a machine, saves it when its agent is ready, and removes templates until they fit into
/// `budget` bytes. Takes about a second. A TAP is made in the caller's network namespace, which
/// should therefore be an empty one.
/// Errors: whatever prevents it; nothing is left then.
Result<TemplateOutcome> make_template(const config::Paths& paths, const TemplateRequest& request,
                                      std::uint64_t budget);

/// Starts the program that does this, in the background and in a session of its own. Nothing need
/// wait for it.
Result<os::Process> make_template_beside(const config::Paths& paths,
                                         const TemplateRequest& request);

}  // namespace bulkhead::runtime
