#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// A limit that is none.
inline constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

/// The container's cgroup. PID 1 stays outside, in the root group.
class ContainerCgroup {
 public:
  /// Mounts the hierarchy and makes the group with its limits and its device rules.
  static Result<ContainerCgroup> create();

  /// Another one in its place, without limits and accounts. No process is in it.
  Result<> renew();

  /// Those that are not 0.
  [[nodiscard]] Result<> limit(const agent::v1::Resources& limits) const;

  /// For being born in.
  [[nodiscard]] int fd() const { return directory_.get(); }

  /// One of its files, as the kernel writes it, and a value for one. Errors: NotFound for a file
  /// that this kernel does not have.
  [[nodiscard]] Result<std::string> read(const std::string& file) const;
  [[nodiscard]] Result<> write(const std::string& file, std::string_view value) const;

  /// Another descriptor of the group that process `pid` is in, for when the container has moved
  /// its processes below its own group, which then holds no processes itself.
  static Result<os::UniqueFd> open_group_of(std::int64_t pid);

  /// SIGKILL for every process in it and below.
  [[nodiscard]] Result<> kill_all() const;

  /// Another signal for every process in it and below.
  [[nodiscard]] Result<> signal_all(int signal) const;

  /// Processes that the kernel killed for want of memory, so far.
  [[nodiscard]] std::uint64_t out_of_memory_kills() const;

  /// Process ids as seen inside the container.
  [[nodiscard]] Result<std::vector<std::uint32_t>> processes() const;

 private:
  explicit ContainerCgroup(os::UniqueFd directory) : directory_(std::move(directory)) {}

  os::UniqueFd directory_;
};

}  // namespace bulkhead::guest
