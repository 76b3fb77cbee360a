#pragma once

#include <linux/bpf.h>

#include <span>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Loads a BPF_PROG_TYPE_CGROUP_DEVICE program and attaches it to the version 2 cgroup directory
/// `cgroup`, beside others that may be there; it lives as long as the cgroup. Its instructions may
/// call no helper that the kernel reserves for GPL programs.
/// Errors: Unsupported when the kernel was built without CONFIG_CGROUP_BPF.
/// Source: bpf(2).
Result<> attach_device_program(int cgroup, std::span<const bpf_insn> program);

}  // namespace bulkhead::os
