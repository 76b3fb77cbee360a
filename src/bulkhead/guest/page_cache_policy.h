#pragma once

#include <chrono>
#include <cstdint>

// When a container gives page cache back, and how much of it.
//
// The kernel keeps what was read from files for as long as there is room. What a machine has once
// used is the host's loss until the machine ends, while the host's own page cache has the same
// content and can be dropped. So the agent looks from time to time and takes back half of the
// inactive list, and a little more than the kernel has put there, so that it sorts on. What is used
// between two looks leaves that list, or is found in use and passed over.
//
// Three things make the pauses longer, twice each time. Pages that were dropped and are read again,
// which the kernel counts: that was too much. Many pages that had to be looked at for one that
// could be dropped, or less that could be dropped than was asked for: they are in use. Nothing that
// could be taken back: an idle machine is to sleep. After a time without the first two pauses get
// shorter again, slowly: a program that goes through its files once a minute is to keep them.

namespace bulkhead::guest {

/// What the kernel counts, in bytes.
struct PageCacheCounters {
  std::uint64_t active = 0;
  std::uint64_t inactive = 0;
  std::uint64_t unclean = 0;    ///< to be written to a disk first
  std::uint64_t scanned = 0;    ///< so far: looked at, whether they can be dropped
  std::uint64_t dropped = 0;    ///< so far
  std::uint64_t came_back = 0;  ///< so far: dropped and read again
};

class PageCachePolicy {
 public:
  /// So much is left alone: small containers, and the programs that others run now and then.
  static constexpr std::uint64_t kKept = 8U << 20U;
  static constexpr std::chrono::milliseconds kShortestPause{10'000};
  static constexpr std::chrono::milliseconds kLongestPause{160'000};

  struct Look {
    std::uint64_t take_back = 0;         ///< bytes, in pieces
    std::chrono::milliseconds pause{0};  ///< until the next look
  };

  Look look(const PageCacheCounters& now);

  /// Instead of a look, where the container uses less than kKept in all: the pause until the next.
  std::chrono::milliseconds idle();

  /// After each piece, of `asked` bytes: whether the next is to be taken.
  bool goes_on(std::uint64_t asked, const PageCacheCounters& now);

 private:
  PageCacheCounters last_;
  std::uint64_t taken_ = 0;    ///< since the last look
  bool found_in_use_ = false;  ///< since the last look
  std::chrono::milliseconds pause_ = kShortestPause;
  std::chrono::milliseconds idle_pause_ = kShortestPause;
};

}  // namespace bulkhead::guest
