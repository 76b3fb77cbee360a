#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/os/event_loop.h"

namespace bulkhead::guest {

/// New limits for a container that runs.
///
/// The kernel kills processes of a group that uses more than its new limit. So that is taken back
/// before: piece by piece, between which the loop goes on, until what is in use fits, or does not
/// become less. What it takes back are pages of files; there is no swap.
class LimitChange : public std::enable_shared_from_this<LimitChange> {
 public:
  using Done = std::move_only_function<void(Result<>)>;

  /// Loop and cgroup must outlive it. `done` is called once; errors: ResourceExhausted when more
  /// memory stays in use than is to be allowed: nothing is changed then.
  static void begin(os::EventLoop& loop, const ContainerCgroup& cgroup, agent::v1::Resources limits,
                    Done done);

 private:
  LimitChange(os::EventLoop& loop, const ContainerCgroup& cgroup, agent::v1::Resources limits,
              Done done);

  void step();

  /// Whether what is in use fits by now. Errors: as begin().
  Result<bool> take_back();
  Result<> set();
  Result<> set_memory();
  [[nodiscard]] Result<std::uint64_t> memory_in_use() const;
  [[nodiscard]] Error too_much(std::uint64_t in_use) const;

  os::EventLoop& loop_;
  const ContainerCgroup& cgroup_;
  agent::v1::Resources limits_;
  Done done_;
  SteadyTime deadline_;
  std::uint64_t least_in_use_;
  int vain_attempts_ = 0;
};

}  // namespace bulkhead::guest
