#include "bulkhead/ext4/block_allocator.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/geometry.h"

namespace bulkhead::ext4 {
namespace {

TEST(BlockAllocator, GivesOutAscendingRuns) {
  BlockAllocator allocator(10, 30);
  EXPECT_THAT(allocator.allocate(5), IsOkAnd(BlockRun{10, 5}));
  EXPECT_THAT(allocator.allocate(100), IsOkAnd(BlockRun{15, 15}));
  EXPECT_THAT(allocator.allocate(1), IsError(ErrorCode::NoSpace));
}

TEST(BlockAllocator, UsesFreedBlocksOnlyWhenTheEndIsReached) {
  BlockAllocator allocator(0, 20);
  ASSERT_THAT(allocator.allocate(10), IsOk());
  allocator.free({2, 3});
  EXPECT_THAT(allocator.allocate(10), IsOkAnd(BlockRun{10, 10}));
  EXPECT_THAT(allocator.allocate(2), IsOkAnd(BlockRun{2, 2}));
  EXPECT_THAT(allocator.allocate(2), IsOkAnd(BlockRun{4, 1}));
  EXPECT_THAT(allocator.allocate(1), IsError(ErrorCode::NoSpace));
}

TEST(BlockAllocator, JoinsNeighbouringHolesAndGivesTheLastBackToTheEnd) {
  BlockAllocator allocator(0, 100);
  ASSERT_THAT(allocator.allocate(50), IsOk());
  allocator.free({10, 5});
  allocator.free({20, 5});
  allocator.free({15, 5});
  ASSERT_EQ(allocator.holes().size(), 1U);
  EXPECT_EQ(allocator.holes().at(10), 15U);
  allocator.free({40, 10});
  EXPECT_EQ(allocator.end(), 40U);
  allocator.free({25, 15});
  EXPECT_EQ(allocator.end(), 10U);
  EXPECT_TRUE(allocator.holes().empty());
}

TEST(BlockAllocator, LeavesOutTheMetadataOfGroups) {
  const auto geometry = fixed_geometry({.size_bytes = std::uint64_t{256} << 20U});
  ASSERT_THAT(geometry, IsOk());
  BlockAllocator allocator(*geometry);
  const std::uint32_t first = geometry->taken_in_group(0);
  EXPECT_THAT(allocator.allocate(UINT32_MAX), IsOkAnd(BlockRun{first, 32768 - first}));
  const std::uint32_t second = geometry->taken_in_group(1);
  EXPECT_THAT(allocator.allocate(UINT32_MAX), IsOkAnd(BlockRun{32768 + second, 32768 - second}));
  EXPECT_THAT(allocator.allocate(1), IsError(ErrorCode::NoSpace));
  allocator.free({32768 + second, 32768 - second});
  EXPECT_THAT(allocator.allocate(1), IsOkAnd(BlockRun{32768 + second, 1}));
}

TEST(BlockAllocator, LeavesWhatIsKeptAlone) {
  BlockAllocator allocator(0, 20, Freed::Keep);
  ASSERT_THAT(allocator.allocate(10), IsOk());
  allocator.free({5, 5});
  EXPECT_EQ(allocator.end(), 10U);
  EXPECT_THAT(allocator.allocate(20), IsOkAnd(BlockRun{10, 10}));
  EXPECT_THAT(allocator.allocate(1), IsError(ErrorCode::NoSpace));
}

TEST(BlockAllocator, ReservesARunAtTheEnd) {
  BlockAllocator allocator(5, 20);
  EXPECT_THAT(allocator.allocate_at_end(10), IsOkAnd(BlockRun{5, 10}));
  EXPECT_THAT(allocator.allocate_at_end(6), IsError(ErrorCode::NoSpace));
  EXPECT_THAT(allocator.allocate_at_end(5), IsOk());
}

}  // namespace
}  // namespace bulkhead::ext4
