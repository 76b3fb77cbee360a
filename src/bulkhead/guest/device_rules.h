#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::guest {

/// One rule of a cgroup's device list: what may be done with which device nodes.
/// Source: the OCI runtime specification, config-linux.md, "Allowed Device list".
struct DeviceRule {
  enum class Type : std::uint8_t { All, Block, Character };

  bool allow = false;
  Type type = Type::All;
  std::optional<std::uint32_t> major;  ///< none: every one
  std::optional<std::uint32_t> minor;
  std::uint32_t access = 0;  ///< BPF_DEVCG_ACC_*
};

/// What docker and runc let a container do that asks for nothing: make any node, use the harmless
/// ones. The machine's own disks are not among them.
std::span<const DeviceRule> default_device_rules();

/// A BPF_PROG_TYPE_CGROUP_DEVICE program: the last rule that fits decides; without one the access
/// is refused. A rule that allows fits when it grants all that is asked, one that denies when it
/// denies any of it.
std::vector<bpf_insn> device_program(std::span<const DeviceRule> rules);

}  // namespace bulkhead::guest
