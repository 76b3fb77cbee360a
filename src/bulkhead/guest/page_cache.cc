#include "bulkhead/guest/page_cache.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/cgroup_files.h"
#include "bulkhead/guest/page_cache_policy.h"
#include "bulkhead/os/event_loop.h"

namespace bulkhead::guest {
namespace {

/// Of memory that is taken back at once, and the pause in which the agent does other things.
constexpr std::uint64_t kPiece = 4U << 20U;
constexpr std::chrono::milliseconds kBreath{20};

class PageCacheReturn : public std::enable_shared_from_this<PageCacheReturn> {
 public:
  PageCacheReturn(os::EventLoop& loop, const ContainerCgroup& cgroup)
      : loop_(loop), cgroup_(cgroup) {}

  void look_after(std::chrono::milliseconds pause) {
    loop_.after(pause, [self = shared_from_this()] { self->look(); });
  }

 private:
  void look() {
    // One short file instead of a long one: most containers that idle are small.
    if (const auto used = cgroup_.read("memory.current");
        used && parse_limit(*used) <= PageCachePolicy::kKept) {
      look_after(policy_.idle());
      return;
    }
    const auto counters = count();
    if (!counters) {
      return;  // a kernel without that controller: nothing can be done
    }
    const PageCachePolicy::Look next = policy_.look(*counters);
    look_after(next.pause);
    take_back(next.take_back);
  }

  [[nodiscard]] Result<PageCacheCounters> count() const {
    const std::string content = BH_TRY(cgroup_.read("memory.stat"));
    const std::vector<Counter> counters = parse_counters(content);
    constexpr std::uint64_t kPage = 4096;
    return PageCacheCounters{
        .active = find_counter(counters, "active_file"),
        .inactive = find_counter(counters, "inactive_file"),
        .unclean = find_counter(counters, "file_dirty") + find_counter(counters, "file_writeback"),
        .scanned = find_counter(counters, "pgscan") * kPage,
        .dropped = find_counter(counters, "pgsteal") * kPage,
        .came_back = find_counter(counters, "workingset_refault_file") * kPage};
  }

  void take_back(std::uint64_t bytes) {
    if (bytes == 0) {
      return;
    }
    const std::uint64_t piece = std::min(bytes, kPiece);
    // It fails when less could be taken back than was asked for, which the counters show.
    std::ignore = cgroup_.write("memory.reclaim", std::to_string(piece));
    const auto counters = count();
    if (!counters || !policy_.goes_on(piece, *counters)) {
      return;
    }
    loop_.after(kBreath,
                [self = shared_from_this(), left = bytes - piece] { self->take_back(left); });
  }

  os::EventLoop& loop_;
  const ContainerCgroup& cgroup_;
  PageCachePolicy policy_;
};

}  // namespace

void return_page_cache(os::EventLoop& loop, const ContainerCgroup& cgroup) {
  // Shared: by the timers that go on with it.
  std::make_shared<PageCacheReturn>(loop, cgroup)->look_after(PageCachePolicy::kShortestPause);
}

}  // namespace bulkhead::guest
