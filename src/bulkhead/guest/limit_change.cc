#include "bulkhead/guest/limit_change.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/memory_size.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/cgroup_files.h"
#include "bulkhead/os/event_loop.h"

namespace bulkhead::guest {
namespace {

/// Of memory that is taken back at once: a few dozen milliseconds of an emulated processor.
constexpr std::uint64_t kPiece = 16U << 20U;
/// Pages that wait for the disk can be taken back a little later.
constexpr std::chrono::milliseconds kPause{50};
constexpr int kMostVainAttempts = 20;
/// Less than the host waits for the answer.
constexpr std::chrono::seconds kPatience{7};

}  // namespace

LimitChange::LimitChange(os::EventLoop& loop, const ContainerCgroup& cgroup,
                         agent::v1::Resources limits, Done done)
    : loop_(loop),
      cgroup_(cgroup),
      limits_(std::move(limits)),
      done_(std::move(done)),
      deadline_(std::chrono::steady_clock::now() + kPatience),
      least_in_use_(std::numeric_limits<std::uint64_t>::max()) {}

void LimitChange::begin(os::EventLoop& loop, const ContainerCgroup& cgroup,
                        agent::v1::Resources limits, Done done) {
  // Shared: by the timer that goes on with it.
  const std::shared_ptr<LimitChange> change(
      new LimitChange(loop, cgroup, std::move(limits), std::move(done)));
  change->step();
}

void LimitChange::step() {
  const bool has_memory_limit = limits_.memory_bytes() != 0 && limits_.memory_bytes() != kNoLimit;
  const auto fits = has_memory_limit ? take_back() : Result<bool>(true);
  if (!fits) {
    done_(fits.error());
  } else if (*fits) {
    done_(set());
  } else {
    loop_.after(vain_attempts_ == 0 ? std::chrono::nanoseconds(0) : kPause,
                [self = shared_from_this()] { self->step(); });
  }
}

Result<std::uint64_t> LimitChange::memory_in_use() const {
  return parse_limit(BH_TRY(cgroup_.read("memory.current")));
}

Error LimitChange::too_much(std::uint64_t in_use) const {
  return fail(ErrorCode::ResourceExhausted,
              "memory: {} are in use and cannot be taken back, {} are to be the limit",
              format_memory_size(in_use), format_memory_size(limits_.memory_bytes()));
}

Result<bool> LimitChange::take_back() {
  const std::uint64_t in_use = BH_TRY(memory_in_use());
  if (in_use <= limits_.memory_bytes()) {
    return true;
  }
  vain_attempts_ = in_use < least_in_use_ ? 0 : vain_attempts_ + 1;
  least_in_use_ = std::min(least_in_use_, in_use);
  if (vain_attempts_ > kMostVainAttempts || std::chrono::steady_clock::now() > deadline_) {
    return too_much(in_use);
  }
  // It fails when less could be taken back than was asked for, which the next look shows.
  const std::uint64_t piece = std::min(in_use - limits_.memory_bytes(), kPiece);
  std::ignore = cgroup_.write("memory.reclaim", std::to_string(piece));
  return false;
}

Result<> LimitChange::set_memory() {
  if (limits_.memory_bytes() != kNoLimit) {
    // The container runs meanwhile: this holds its growth back without killing anything.
    BH_TRY(cgroup_.write("memory.high", std::to_string(limits_.memory_bytes())));
    const std::uint64_t in_use = BH_TRY(memory_in_use());
    if (in_use > limits_.memory_bytes()) {
      return too_much(in_use);
    }
  }
  agent::v1::Resources memory;
  memory.set_memory_bytes(limits_.memory_bytes());
  return cgroup_.limit(memory);
}

Result<> LimitChange::set() {
  if (limits_.memory_bytes() != 0) {
    auto changed = set_memory();
    std::ignore = cgroup_.write("memory.high", "max");
    BH_TRY(std::move(changed));
    limits_.clear_memory_bytes();
  }
  return cgroup_.limit(limits_);
}

}  // namespace bulkhead::guest
