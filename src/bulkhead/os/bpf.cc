#include "bulkhead/os/bpf.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

Result<int> bpf(bpf_cmd command, const bpf_attr& attributes, std::string_view what) {
  const long result = ::syscall(SYS_bpf, command, &attributes, sizeof(attributes));
  if (result < 0 && (errno == ENOSYS || errno == EINVAL)) {
    return fail(ErrorCode::Unsupported,
                "{}: the kernel has no device rules for cgroups (CONFIG_CGROUP_BPF)", what);
  }
  if (result < 0) {
    return Error::from_errno(what);
  }
  return static_cast<int>(result);
}

std::uint64_t address_of(const void* memory) { return reinterpret_cast<std::uint64_t>(memory); }

}  // namespace

Result<> attach_device_program(int cgroup, std::span<const bpf_insn> program) {
  constexpr const char* kLicense = "Apache-2.0";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insn_cnt = static_cast<std::uint32_t>(program.size());
  load.insns = address_of(program.data());
  load.license = address_of(kLicense);
  const UniqueFd loaded(BH_TRY(bpf(BPF_PROG_LOAD, load, "load a cgroup device program")));

  bpf_attr attach{};
  attach.target_fd = static_cast<std::uint32_t>(cgroup);
  attach.attach_bpf_fd = static_cast<std::uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  std::ignore = BH_TRY(bpf(BPF_PROG_ATTACH, attach, "attach a cgroup device program"));
  return {};
}

}  // namespace bulkhead::os
