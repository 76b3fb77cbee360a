#include "bulkhead/guest/cgroup_files.h"

#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::guest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CgroupFiles, CountersAreLinesOfNameAndValue) {
  const auto counters = parse_counters("anon 4096\nfile 18446744073709551615\n");
  EXPECT_THAT(counters, ElementsAre(Counter{"anon", 4096}, Counter{"file", UINT64_MAX}));
  EXPECT_EQ(find_counter(counters, "anon"), 4096U);
  EXPECT_EQ(find_counter(counters, "slab"), 0U);
}

TEST(CgroupFiles, WhatIsNoCounterIsPassedOver) {
  EXPECT_THAT(parse_counters(""), IsEmpty());
  EXPECT_THAT(parse_counters("\n 5\nname\nname \nname -1\nname 1 2\nname 18446744073709551616\n"),
              IsEmpty());
}

TEST(CgroupFiles, NoLimitIsZero) {
  EXPECT_EQ(parse_limit("268435456\n"), 268435456U);
  EXPECT_EQ(parse_limit("max\n"), 0U);
  EXPECT_EQ(parse_limit(""), 0U);
}

TEST(CgroupFiles, BlockAccountsTakeWhatIsKnown) {
  EXPECT_THAT(parse_block_accounts("254:0 rbytes=8192 wbytes=0 rios=2 wios=0 dbytes=5 dios=1\n"
                                   "254:16 wios=3 wbytes=4096\n"
                                   "254:32 \n"),
              ElementsAre(
                  BlockAccount{
                      .major = 254, .minor = 0, .read_bytes = 8192, .written_bytes = 0, .reads = 2},
                  BlockAccount{.major = 254, .minor = 16, .written_bytes = 4096, .writes = 3},
                  BlockAccount{.major = 254, .minor = 32}));
  EXPECT_THAT(parse_block_accounts("\n254 rbytes=1\n254:x rbytes=1\n:\n"), IsEmpty());
  EXPECT_THAT(parse_block_accounts("1:2 rbytes=-1 wbytes= rios=x"),
              ElementsAre(BlockAccount{.major = 1, .minor = 2}));
}

}  // namespace
}  // namespace bulkhead::guest
