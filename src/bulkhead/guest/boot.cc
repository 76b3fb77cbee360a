#include "bulkhead/guest/boot.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/os/credentials.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/machine.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

constexpr unsigned long kPlain = MS_NOSUID | MS_NOEXEC | MS_NODEV;

/// The kernel's first file system cannot be pivoted away from, because it is mounted on nothing. A
/// bind mount of it that lies on top of it can.
Result<> cover_first_root() {
  BH_TRY(os::mount({.source = "/", .target = kNewRoot, .type = "", .flags = MS_BIND}));
  BH_TRY(os::change_directory(kNewRoot));
  return os::move_current_directory_to_root();
}

/// A kernel's setting and the value that containers expect.
struct Setting {
  const char* path;
  std::string_view value;
};

constexpr std::array kSettings = {
    // Small machines with databases in them: fork without room for a second copy, many mappings.
    Setting{"/proc/sys/vm/overcommit_memory", "1"},
    Setting{"/proc/sys/vm/max_map_count", "262144"},
    // An idle machine sleeps: nothing is compacted unasked (twice a second the kernel would look
    // whether there is a need), and counters are folded every ten seconds instead of each.
    Setting{"/proc/sys/vm/compaction_proactiveness", "0"},
    Setting{"/proc/sys/vm/stat_interval", "10"},
    // As docker: ping without privilege, and low ports.
    Setting{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
    Setting{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
};

void log_failure(const Result<>& result) {
  if (!result) {
    log::warning("{}", result.error().message());
  }
}

constexpr const char* kPorts = "/sys/class/virtio-ports";

bool is_agent_port(const std::string& port) {
  constexpr std::size_t kLongestName = 256;
  const auto name = os::read_file(std::string(kPorts) + "/" + port + "/name", kLongestName);
  return name && *name == std::string(kAgentPort) + "\n";
}

/// The device of the port, "" while the host has not announced it: its name comes a moment after
/// the port itself.
Result<std::string> find_port() {
  // Where it is on our machines, so that the directory need not be listed.
  constexpr const char* kUsual = "vport0p1";
  if (is_agent_port(kUsual)) {
    return std::string("/dev/") + kUsual;
  }
  const auto ports = os::list_directory(kPorts);
  if (!ports && ports.error().code() != ErrorCode::NotFound) {
    return ports.error();
  }
  for (const std::string& port : ports.value_or(std::vector<std::string>())) {
    if (is_agent_port(port)) {
      return "/dev/" + port;
    }
  }
  return std::string();
}

}  // namespace

Result<> prepare_machine() {
  BH_TRY(cover_first_root());
  BH_TRY(os::mount({.source = "sys", .target = "/sys", .type = "sysfs", .flags = kPlain}));
  BH_TRY(os::mount({.source = "dev", .target = "/dev", .type = "devtmpfs", .flags = MS_NOSUID}));
  BH_TRY(os::mount({.source = "proc", .target = "/proc", .type = "proc", .flags = kPlain}));
  BH_TRY(os::fill_descriptors(kLastReservedDescriptor));
  os::ignore_broken_pipes();
  return {};
}

void settle_machine() {
  log_failure(os::write_setting("/proc/self/oom_score_adj", "-1000"));
  log_failure(os::lock_memory());
  // A program that closes every possible descriptor goes by the soft limit.
  constexpr std::uint64_t kFewFiles = 1024;
  constexpr std::uint64_t kManyFiles = 524288;
  log_failure(os::set_resource_limit(RLIMIT_NOFILE, {.soft = kFewFiles, .hard = kManyFiles}));
  log_failure(os::set_resource_limit(RLIMIT_NPROC, {.soft = RLIM_INFINITY, .hard = RLIM_INFINITY}));
  for (const Setting& setting : kSettings) {
    log_failure(os::write_setting(setting.path, setting.value));
  }
}

Result<os::UniqueFd> open_agent_port() {
  constexpr std::chrono::milliseconds kPause{1};
  constexpr int kAttempts = 5000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string device = BH_TRY(find_port());
    if (!device.empty()) {
      auto port = os::open_file(device, O_RDWR | O_NOCTTY);
      // The node is made by a kernel thread; the port may be there before it.
      if (port || port.error().code() != ErrorCode::NotFound) {
        return port;
      }
    }
    std::this_thread::sleep_for(kPause);
  }
  return fail(ErrorCode::Timeout, "there is no virtio-serial port {}", kAgentPort);
}

}  // namespace bulkhead::guest
