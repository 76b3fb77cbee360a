#include <string>
#include <utility>
#include <vector>

#include "bulkhead/oci/spec.h"

// What moby (oci/defaults.go, oci/caps/defaults.go) and containerd (oci/spec.go) agree on.

namespace bulkhead::oci {
namespace {

std::vector<Mount> default_mounts() {
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
  };
}

}  // namespace

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> kCapabilities = {
      "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
      "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
      "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
      "CAP_KILL",    "CAP_AUDIT_WRITE"};
  return kCapabilities;
}

Spec default_spec() {
  Spec spec;
  Process process;
  // Inheritable stays empty (CVE-2022-24769).
  process.capabilities = Capabilities{.bounding = default_capabilities(),
                                      .effective = default_capabilities(),
                                      .permitted = default_capabilities()};
  // What docker gives since 29: a low soft limit for programs that walk over all descriptors, a
  // high one for those that ask.
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 524'288, .soft = 1024}};
  process.oom_score_adj = 0;
  spec.process = std::move(process);
  spec.root.path = "rootfs";
  spec.mounts = default_mounts();
  spec.linux_settings.namespaces = {{"mount", ""}, {"network", ""}, {"uts", ""},
                                    {"pid", ""},   {"ipc", ""},     {"cgroup", ""}};
  spec.linux_settings.masked_paths = {"/proc/asound",
                                      "/proc/acpi",
                                      "/proc/kcore",
                                      "/proc/keys",
                                      "/proc/latency_stats",
                                      "/proc/timer_list",
                                      "/proc/timer_stats",
                                      "/proc/sched_debug",
                                      "/proc/scsi",
                                      "/sys/firmware",
                                      "/sys/devices/virtual/powercap"};
  spec.linux_settings.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger"};
  return spec;
}

}  // namespace bulkhead::oci
