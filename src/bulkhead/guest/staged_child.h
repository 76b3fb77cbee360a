#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// A container's first process, made before the container is known: it waits in namespaces of its
/// own, with its mounts made (process_setup.h). Killed with this object unless it was started.
class StagedChild {
 public:
  /// Errors: what the child says.
  /// Without `cgroup` it is born in this process's.
  static Result<StagedChild> create(const ContainerCgroup* cgroup,
                                    const agent::v1::PrepareRequest& request);

  StagedChild(StagedChild&& other) noexcept = default;
  StagedChild& operator=(StagedChild&&) = delete;
  StagedChild(const StagedChild&) = delete;
  StagedChild& operator=(const StagedChild&) = delete;
  ~StagedChild();

  /// It has the first mounts of that plan, or all, and its covered paths.
  [[nodiscard]] bool suits(const agent::v1::StartRequest& plan) const;

  /// Lets it go on, until it needs the root. `standard`: its three standard descriptors; empty with
  /// a terminal.
  Result<> start(const agent::v1::StartRequest& plan, std::span<const int> standard);

  /// Lets it go on with a root, and be what the plan says. `root` and `data_disks` are detached
  /// mounts. `report`: what take_report() gave.
  static Result<> give_root(int report, int root, std::span<const os::UniqueFd> data_disks);

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Handed over once it was started.
  os::UniqueFd take_pidfd() { return std::move(pidfd_); }

  os::UniqueFd take_report() { return std::move(report_); }

 private:
  StagedChild(agent::v1::PrepareRequest request, pid_t pid, os::UniqueFd pidfd, os::UniqueFd report)
      : request_(std::move(request)),
        pid_(pid),
        pidfd_(std::move(pidfd)),
        report_(std::move(report)) {}

  agent::v1::PrepareRequest request_;
  pid_t pid_;
  os::UniqueFd pidfd_;
  os::UniqueFd report_;
};

}  // namespace bulkhead::guest
