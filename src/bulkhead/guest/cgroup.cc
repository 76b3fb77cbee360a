#include "bulkhead/guest/cgroup.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/cgroup_files.h"
#include "bulkhead/guest/device_rules.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/os/bpf.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

constexpr std::size_t kMaxControlFile = 4U << 20U;
constexpr int kMaxDepth = 64;

Result<> write_control(int directory, const std::string& name, std::string_view value) {
  const os::UniqueFd file = BH_TRY(os::open_at(directory, name, O_WRONLY));
  return os::write_all(file.get(), as_bytes(value))
      .context(fmt::format("cgroup {}: {}", name, value));
}

Result<std::string> read_control(int directory, const std::string& name) {
  const os::UniqueFd file = BH_TRY(os::open_at(directory, name, O_RDONLY));
  return os::read_to_end(file.get(), kMaxControlFile);
}

/// Those that this kernel has: a kernel of the user's choice may lack one.
Result<> enable_controllers(int hierarchy) {
  if (write_control(hierarchy, "cgroup.subtree_control", "+cpu +memory +pids +io")) {
    return {};
  }
  const std::string available = BH_TRY(read_control(hierarchy, "cgroup.controllers"));
  for (const std::string_view controller : {"cpu", "memory", "pids", "io"}) {
    if (available.contains(controller)) {
      BH_TRY(write_control(hierarchy, "cgroup.subtree_control", "+" + std::string(controller)));
    }
  }
  return {};
}

/// Version 1 shares (2 to 262144) as version 2 weight (1 to 10000). Source: runc, crun.
std::uint64_t weight_from_shares(std::uint64_t shares) {
  const std::uint64_t bounded = std::clamp<std::uint64_t>(shares, 2, 262144);
  return 1 + (bounded - 2) * 9999 / 262142;
}

std::string limit_text(std::uint64_t limit) {
  return limit == kNoLimit ? "max" : std::to_string(limit);
}

Result<> set_limits(int group, const agent::v1::Resources& limits) {
  if (limits.memory_bytes() != 0) {
    BH_TRY(write_control(group, "memory.max", limit_text(limits.memory_bytes())));
  }
  if (limits.cpu_quota_microseconds() != 0) {
    constexpr std::uint64_t kDefaultPeriod = 100'000;
    const std::uint64_t period =
        limits.cpu_period_microseconds() != 0 ? limits.cpu_period_microseconds() : kDefaultPeriod;
    BH_TRY(
        write_control(group, "cpu.max",
                      fmt::format("{} {}", limit_text(limits.cpu_quota_microseconds()), period)));
  }
  if (limits.cpu_shares() != 0) {
    BH_TRY(write_control(group, "cpu.weight",
                         std::to_string(weight_from_shares(limits.cpu_shares()))));
  }
  if (limits.pids() != 0) {
    BH_TRY(write_control(group, "pids.max", limit_text(limits.pids())));
  }
  return {};
}

std::vector<pid_t> parse_pids(std::string_view content) {
  std::vector<pid_t> pids;
  for (const std::string_view line : split(content, '\n')) {
    if (const auto pid = parse_decimal<pid_t>(line); pid && *pid > 0) {
      pids.push_back(*pid);
    }
  }
  return pids;
}

/// The container may have made groups of its own below.
void collect_pids(int group, int depth, std::vector<pid_t>& pids) {
  if (const auto content = read_control(group, "cgroup.procs"); content) {
    const std::vector<pid_t> here = parse_pids(*content);
    pids.insert(pids.end(), here.begin(), here.end());
  }
  if (depth == kMaxDepth) {
    return;
  }
  const auto names = os::list_directory(fmt::format("/proc/self/fd/{}", group));
  if (!names) {
    return;
  }
  for (const std::string& name : *names) {
    // Every file of a group has a dot in its name, and a group of a container may have one too.
    const auto child = os::open_at(group, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (child) {
      collect_pids(child->get(), depth + 1, pids);
    }
  }
}

/// The last number of the line "NSpid: 123 7": the id in the innermost namespace.
std::optional<std::uint32_t> inner_pid(pid_t pid) {
  const auto status = os::read_file(fmt::format("/proc/{}/status", pid), 65536);
  if (!status) {
    return std::nullopt;  // it has ended meanwhile
  }
  for (const std::string_view line : split(*status, '\n')) {
    if (line.starts_with("NSpid:")) {
      return parse_decimal<std::uint32_t>(line.substr(line.find_last_of(" \t") + 1));
    }
  }
  return std::nullopt;
}

Result<os::UniqueFd> make_group() {
  BH_TRY(os::make_directory_at(AT_FDCWD, kContainerCgroup, 0755));
  os::UniqueFd group = BH_TRY(os::open_file(kContainerCgroup, O_RDONLY | O_DIRECTORY));
  BH_TRY(os::attach_device_program(group.get(), device_program(default_device_rules())));
  return group;
}

}  // namespace

Result<ContainerCgroup> ContainerCgroup::create() {
  BH_TRY(os::mount({.source = "cgroup",
                    .target = kCgroupDirectory,
                    .type = "cgroup2",
                    .flags = MS_NOSUID | MS_NOEXEC | MS_NODEV}));
  const os::UniqueFd hierarchy = BH_TRY(os::open_file(kCgroupDirectory, O_RDONLY | O_DIRECTORY));
  BH_TRY(enable_controllers(hierarchy.get()));
  os::UniqueFd group = BH_TRY(make_group());
  return ContainerCgroup(std::move(group));
}

Result<> ContainerCgroup::renew() {
  directory_.reset();
  BH_TRY(os::remove_directory(kContainerCgroup));
  directory_ = BH_TRY(make_group());
  return {};
}

Result<> ContainerCgroup::limit(const agent::v1::Resources& limits) const {
  return set_limits(fd(), limits);
}

Result<std::string> ContainerCgroup::read(const std::string& file) const {
  return read_control(fd(), file);
}

Result<> ContainerCgroup::write(const std::string& file, std::string_view value) const {
  return write_control(fd(), file, value);
}

Result<os::UniqueFd> ContainerCgroup::open_group_of(std::int64_t pid) {
  const std::string content = BH_TRY(os::read_file(fmt::format("/proc/{}/cgroup", pid), 65536));
  for (const std::string_view line : split(content, '\n')) {
    if (line.starts_with("0::/container")) {
      const os::UniqueFd hierarchy = BH_TRY(os::open_file(kCgroupDirectory, O_PATH | O_DIRECTORY));
      return os::open_beneath(hierarchy.get(), std::string(line.substr(4)), O_RDONLY | O_DIRECTORY);
    }
  }
  return fail(ErrorCode::NotFound, "process {}: in no cgroup of the container", pid);
}

Result<> ContainerCgroup::kill_all() const { return write_control(fd(), "cgroup.kill", "1"); }

Result<> ContainerCgroup::signal_all(int signal) const {
  std::vector<pid_t> pids;
  collect_pids(fd(), 0, pids);
  for (const pid_t pid : pids) {
    const auto process = os::Process::adopt(pid);
    if (process) {
      BH_TRY(process->kill(signal));
    }
  }
  return {};
}

std::uint64_t ContainerCgroup::out_of_memory_kills() const {
  const auto events = read("memory.events");
  return events ? find_counter(parse_counters(*events), "oom_kill") : 0;
}

Result<std::vector<std::uint32_t>> ContainerCgroup::processes() const {
  std::vector<pid_t> pids;
  collect_pids(fd(), 0, pids);
  std::vector<std::uint32_t> inner;
  for (const pid_t pid : pids) {
    if (const auto id = inner_pid(pid); id) {
      inner.push_back(*id);
    }
  }
  std::ranges::sort(inner);
  return inner;
}

}  // namespace bulkhead::guest
