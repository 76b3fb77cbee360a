#include "bulkhead/ext4/block_allocator.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/geometry.h"

namespace bulkhead::ext4 {

/// Moves the cursor out of a group's metadata and returns where the next begins.
std::uint64_t BlockAllocator::skip_metadata() {
  if (!geometry_) {
    return limit_;
  }
  while (cursor_ < limit_) {
    const std::uint32_t group = geometry_->group_of(cursor_);
    cursor_ = std::max(cursor_, geometry_->group_start(group) + geometry_->taken_in_group(group));
    if (const std::uint64_t next = geometry_->group_start(group + 1); cursor_ < next) {
      return std::min(next, limit_);
    }
  }
  return limit_;
}

Result<BlockRun> BlockAllocator::allocate(std::uint32_t wanted) {
  const std::uint64_t run_limit = skip_metadata();
  if (cursor_ < run_limit) {
    const BlockRun run{
        cursor_, static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, run_limit - cursor_))};
    cursor_ = run.end();
    return run;
  }
  const auto hole = holes_.begin();
  if (hole == holes_.end() || freed_ == Freed::Keep) {
    return fail(ErrorCode::NoSpace, "the image is full: {} blocks", limit_);
  }
  const BlockRun run{hole->first,
                     static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, hole->second))};
  const std::uint64_t rest = hole->second - run.count;
  holes_.erase(hole);
  if (rest > 0) {
    holes_.emplace(run.end(), rest);
  }
  return run;
}

Result<BlockRun> BlockAllocator::allocate_at_end(std::uint64_t count) {
  if (count > limit_ - std::min(cursor_, limit_) || count > UINT32_MAX) {
    return fail(ErrorCode::NoSpace, "the image is full: {} blocks", limit_);
  }
  const BlockRun run{cursor_, static_cast<std::uint32_t>(count)};
  cursor_ += count;
  return run;
}

void BlockAllocator::free(const BlockRun& run) {
  if (run.count == 0) {
    return;
  }
  auto hole = holes_.emplace(run.start, run.count).first;
  if (const auto after = std::next(hole); after != holes_.end() && run.end() == after->first) {
    hole->second += after->second;
    holes_.erase(after);
  }
  if (hole != holes_.begin()) {
    if (const auto before = std::prev(hole); before->first + before->second == hole->first) {
      before->second += hole->second;
      holes_.erase(hole);
      hole = before;
    }
  }
  if (freed_ == Freed::Reuse && hole->first + hole->second == cursor_) {
    cursor_ = hole->first;
    holes_.erase(hole);
  }
}

}  // namespace bulkhead::ext4
