#include "bulkhead/guest/page_cache_policy.h"

#include <chrono>
#include <cstdint>

#include <gtest/gtest.h>

namespace bulkhead::guest {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr milliseconds kShortest = PageCachePolicy::kShortestPause;
constexpr milliseconds kLongest = PageCachePolicy::kLongestPause;

/// All that was asked for can be dropped, without looking at anything else.
void drop(PageCacheCounters& counters, std::uint64_t bytes) {
  counters.scanned += bytes;
  counters.dropped += bytes;
  counters.inactive -= bytes < counters.inactive ? bytes : counters.inactive;
}

TEST(PageCachePolicy, WhatLiesUnusedIsTakenBackByHalves) {
  PageCachePolicy policy;
  PageCacheCounters counters{.inactive = 200 * kMiB};
  const auto first = policy.look(counters);
  EXPECT_EQ(first.take_back, 100 * kMiB);
  EXPECT_EQ(first.pause, kShortest);
  drop(counters, first.take_back);
  EXPECT_TRUE(policy.goes_on(first.take_back, counters));
  EXPECT_EQ(policy.look(counters).take_back, 50 * kMiB);
}

TEST(PageCachePolicy, AFewMegabytesAreLeftAlone) {
  PageCachePolicy policy;
  EXPECT_EQ(policy.look({.active = 3 * kMiB, .inactive = 5 * kMiB}).take_back, 0U);
  EXPECT_EQ(policy.look({.inactive = 9 * kMiB}).take_back, kMiB);
}

TEST(PageCachePolicy, WhatIsNotOnADiskYetIsLeftAlone) {
  PageCachePolicy policy;
  EXPECT_EQ(policy.look({.inactive = 100 * kMiB, .unclean = 100 * kMiB}).take_back, 0U);
  EXPECT_EQ(policy.look({.inactive = 100 * kMiB, .unclean = 90 * kMiB}).take_back, 2 * kMiB);
}

TEST(PageCachePolicy, ActivePagesAreSortedLittleByLittle) {
  PageCachePolicy policy;
  EXPECT_EQ(policy.look({.active = 160 * kMiB}).take_back, 10 * kMiB);
}

TEST(PageCachePolicy, AnIdleMachineIsLookedAtLessAndLess) {
  PageCachePolicy policy;
  milliseconds last = kShortest;
  for (int i = 0; i < 10; ++i) {
    const milliseconds pause = policy.look({.inactive = kMiB}).pause;
    EXPECT_GE(pause, last);
    last = pause;
  }
  EXPECT_EQ(last, kLongest);
  EXPECT_EQ(policy.idle(), kLongest);
  EXPECT_EQ(policy.look({.inactive = 100 * kMiB}).pause, kShortest);
  EXPECT_EQ(policy.idle(), 2 * kShortest);
}

TEST(PageCachePolicy, WhatIsReadAgainIsLeftAloneForLonger) {
  PageCachePolicy policy;
  PageCacheCounters counters{.inactive = 100 * kMiB};
  milliseconds last = kShortest;
  for (int i = 0; i < 6; ++i) {
    const auto taken = policy.look(counters);
    EXPECT_EQ(taken.take_back, 50 * kMiB);
    drop(counters, taken.take_back);
    EXPECT_TRUE(policy.goes_on(taken.take_back, counters));
    counters.inactive += taken.take_back;
    counters.came_back += taken.take_back;
    const auto waited = policy.look(counters);
    EXPECT_EQ(waited.take_back, 0U);
    EXPECT_GE(waited.pause, last);
    last = waited.pause;
  }
  EXPECT_EQ(last, kLongest);
}

TEST(PageCachePolicy, ALittleThatIsReadAgainIsNoReason) {
  PageCachePolicy policy;
  PageCacheCounters counters{.inactive = 100 * kMiB};
  const std::uint64_t taken = policy.look(counters).take_back;
  drop(counters, taken);
  EXPECT_TRUE(policy.goes_on(taken, counters));
  counters.came_back += 256U << 10U;
  const auto next = policy.look(counters);
  EXPECT_GT(next.take_back, 0U);
  EXPECT_EQ(next.pause, kShortest);
}

TEST(PageCachePolicy, PagesInUseEndTheAttempt) {
  PageCachePolicy policy;
  PageCacheCounters counters{.active = 50 * kMiB, .inactive = 50 * kMiB};
  EXPECT_GT(policy.look(counters).take_back, 0U);
  counters.scanned += 50 * kMiB;
  counters.dropped += 4 * kMiB;
  EXPECT_FALSE(policy.goes_on(4 * kMiB, counters));
  EXPECT_EQ(policy.look(counters).pause, 2 * kShortest);
}

TEST(PageCachePolicy, PausesGetShorterWhenNothingIsReadAgain) {
  PageCachePolicy policy;
  PageCacheCounters counters{.inactive = 1000 * kMiB, .came_back = 10 * kMiB};
  EXPECT_EQ(policy.look(counters).pause, 2 * kShortest);
  milliseconds last = 2 * kShortest;
  for (int i = 0; i < 8; ++i) {
    const auto step = policy.look(counters);
    EXPECT_LE(step.pause, last);
    last = step.pause;
    drop(counters, kMiB);
    EXPECT_TRUE(policy.goes_on(kMiB, counters));
  }
  EXPECT_EQ(last, kShortest);
}

TEST(PageCachePolicy, NothingThatCanBeDroppedEndsTheAttempt) {
  PageCachePolicy policy;
  const PageCacheCounters counters{.inactive = 100 * kMiB};
  EXPECT_GT(policy.look(counters).take_back, 0U);
  EXPECT_FALSE(policy.goes_on(4 * kMiB, counters));
  EXPECT_EQ(policy.look(counters).pause, 2 * kShortest);
}

}  // namespace
}  // namespace bulkhead::guest
