#include "bulkhead/guest/staged_child.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/process_setup.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

Result<StagedChild> StagedChild::create(const ContainerCgroup* cgroup,
                                        const agent::v1::PrepareRequest& request) {
  auto [ours, theirs] = BH_TRY(os::make_socket_pair());
  os::CloneOptions options{.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC};
  if (cgroup != nullptr) {
    options.cgroup = cgroup->fd();
  }
  os::CloneResult cloned = BH_TRY(os::clone_process(options));
  if (cloned.pid == 0) {
    run_staged_child(request, theirs.get());
  }
  theirs.reset();
  StagedChild child(request, cloned.pid, std::move(cloned.pidfd), std::move(ours));
  std::array<std::byte, 4096> buffer{};
  const std::size_t size = BH_TRY(os::read_some(child.report_.get(), buffer));
  const std::string_view report = as_text(std::span(buffer).first(size));
  if (!report.starts_with(kStagedReport)) {
    const std::string_view reason = report.size() > 2 ? report.substr(2) : "it has ended";
    return fail(ErrorCode::Internal, "first process: {}", reason);
  }
  return child;
}

StagedChild::~StagedChild() {
  if (pidfd_.is_open()) {
    std::ignore = os::signal_process(pidfd_.get(), SIGKILL);
  }
}

bool StagedChild::suits(const agent::v1::StartRequest& plan) const {
  const int count = request_.mounts_size();
  if (plan.mounts_size() < count || (count == 0 && plan.mounts_size() != 0)) {
    return false;
  }
  const auto staged_part = [count](const auto& from) {
    agent::v1::PrepareRequest part;
    part.mutable_mounts()->Assign(from.mounts().begin(), from.mounts().begin() + count);
    *part.mutable_masked_paths() = from.masked_paths();
    *part.mutable_readonly_paths() = from.readonly_paths();
    return part.SerializeAsString();
  };
  return staged_part(plan) == staged_part(request_);
}

Result<> StagedChild::start(const agent::v1::StartRequest& plan, std::span<const int> standard) {
  const os::UniqueFd text = BH_TRY(os::make_memfd("plan"));
  BH_TRY(os::pwrite_all(text.get(), as_bytes(plan.SerializeAsString()), 0));
  std::vector<int> fds = {text.get()};
  fds.insert(fds.end(), standard.begin(), standard.end());
  return os::send_with_fds(report_.get(), as_bytes(std::string_view(&kPlanMessage, 1)), fds);
}

Result<> StagedChild::give_root(int report, int root, std::span<const os::UniqueFd> data_disks) {
  std::vector<int> fds = {root};
  std::ranges::transform(data_disks, std::back_inserter(fds), &os::UniqueFd::get);
  return os::send_with_fds(report, as_bytes(std::string_view(&kRootMessage, 1)), fds);
}

}  // namespace bulkhead::guest
