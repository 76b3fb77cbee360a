#include "bulkhead/guest/page_cache_policy.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace bulkhead::guest {
namespace {

/// A command that somebody runs now and then reads as much again: no reason to wait.
constexpr std::uint64_t kNoise = 512U << 10U;

/// Pages looked at for each that can be dropped, above which they are in use.
constexpr std::uint64_t kMostScanned = 2;

std::uint64_t less(std::uint64_t from, std::uint64_t amount) {
  return from > amount ? from - amount : 0;
}

std::chrono::milliseconds twice(std::chrono::milliseconds pause) {
  return std::min(2 * pause, PageCachePolicy::kLongestPause);
}

}  // namespace

PageCachePolicy::Look PageCachePolicy::look(const PageCacheCounters& now) {
  const std::uint64_t came_back = less(now.came_back, last_.came_back);
  const std::uint64_t taken = std::exchange(taken_, 0);
  const bool found_in_use = std::exchange(found_in_use_, false);
  last_ = now;
  if (came_back > std::max(taken / 8, kNoise)) {
    pause_ = twice(pause_);
    return {.take_back = 0, .pause = pause_};
  }
  if (taken > 0 && !found_in_use) {
    pause_ = std::max(pause_ * 7 / 8, kShortestPause);
  }
  const std::uint64_t all = now.active + now.inactive;
  const std::uint64_t available = less(less(all, now.unclean), kKept);
  if (available == 0) {
    return {.take_back = 0, .pause = idle()};
  }
  idle_pause_ = kShortestPause;
  return {.take_back = std::min(available, std::max(now.inactive / 2, all / 16)), .pause = pause_};
}

std::chrono::milliseconds PageCachePolicy::idle() {
  idle_pause_ = twice(idle_pause_);
  return std::max(pause_, idle_pause_);
}

bool PageCachePolicy::goes_on(std::uint64_t asked, const PageCacheCounters& now) {
  const std::uint64_t scanned = less(now.scanned, std::exchange(last_.scanned, now.scanned));
  const std::uint64_t dropped = less(now.dropped, std::exchange(last_.dropped, now.dropped));
  taken_ += dropped;
  if (dropped >= asked / 2 && scanned <= kMostScanned * dropped) {
    return true;
  }
  found_in_use_ = true;
  pause_ = twice(pause_);
  return false;
}

}  // namespace bulkhead::guest
