#include "bulkhead/ext4/geometry.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint64_t kTebibyte = std::uint64_t{1} << 40U;

TEST(FixedGeometry, GivesTheInodesAskedFor) {
  const auto geometry = fixed_geometry({.size_bytes = std::uint64_t{10} << 30U});
  ASSERT_THAT(geometry, IsOk());
  EXPECT_EQ(geometry->blocks, 2'621'440U);
  EXPECT_EQ(geometry->groups, 80U);
  EXPECT_EQ(geometry->inodes(), 655'360U);
  EXPECT_EQ(geometry->descriptor_blocks(), 2U);
  EXPECT_EQ(geometry->taken_in_group(0), 1U + 2 + 2 + 512);
  EXPECT_EQ(geometry->taken_in_group(1), 2U + 512);
  EXPECT_EQ(geometry->inode_table(1), 32768U + 2);
}

TEST(FixedGeometry, HoldsFromOneMebibyteToSixtyFourTebibytes) {
  for (const std::uint32_t block_size : {1024U, 2048U, 4096U}) {
    for (std::uint64_t size = 1U << 20U; size <= 64 * kTebibyte; size *= 2) {
      const auto geometry = fixed_geometry({.size_bytes = size - 4096, .block_size = block_size});
      ASSERT_THAT(geometry, IsOk()) << size;
      EXPECT_EQ(geometry->blocks, (size - 4096) / block_size);
      EXPECT_LE(geometry->inodes_per_group, geometry->blocks_per_group());
      EXPECT_EQ(geometry->inodes_per_group % geometry->inodes_per_block(), 0U);
      EXPECT_EQ(geometry->inodes_per_group % 8, 0U);
      for (const std::uint32_t group : {0U, geometry->groups / 2, geometry->groups - 1}) {
        EXPECT_LE(geometry->taken_in_group(group), geometry->blocks_in_group(group)) << size;
        EXPECT_LE(geometry->inode_table(group) + geometry->table_blocks(), geometry->blocks);
      }
    }
  }
  EXPECT_THAT(fixed_geometry({.size_bytes = 0}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(fixed_geometry({.size_bytes = 8192}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(fixed_geometry({.size_bytes = 65 * kTebibyte}), IsError(ErrorCode::Invalid));
}

TEST(FixedGeometry, PutsWhatAShortLastGroupHasNoRoomForIntoTheOneBefore) {
  const auto geometry = fixed_geometry({.size_bytes = (std::uint64_t{128} << 20U) + 4096});
  ASSERT_THAT(geometry, IsOk());
  ASSERT_EQ(geometry->groups, 2U);
  EXPECT_EQ(geometry->blocks_in_group(1), 1U);
  EXPECT_EQ(geometry->taken_in_group(1), 0U);
  EXPECT_TRUE(geometry->hosts_next(0));
  EXPECT_EQ(geometry->block_bitmap(1), geometry->inode_table(0) + geometry->table_blocks());
}

TEST(FixedGeometry, PutsDescriptorsIntoGroupsWhereTheyAreTooManyForTheFirst) {
  const auto large = fixed_geometry({.size_bytes = 64 * kTebibyte});
  ASSERT_THAT(large, IsOk());
  EXPECT_FALSE(large->meta_groups);
  const auto geometry = fixed_geometry({.size_bytes = kTebibyte, .block_size = 1024});
  ASSERT_THAT(geometry, IsOk());
  EXPECT_TRUE(geometry->meta_groups);
  EXPECT_EQ(geometry->descriptor_block(0), 2U);
  EXPECT_EQ(geometry->descriptor_block(1), geometry->group_start(16));
  const std::uint32_t own = 2 + geometry->table_blocks();
  EXPECT_EQ(geometry->taken_in_group(0), 2 + own);
  for (const std::uint32_t group : {1U, 15U, 16U, 17U, 31U}) {
    EXPECT_EQ(geometry->taken_in_group(group), 1 + own) << group;
  }
  EXPECT_EQ(geometry->taken_in_group(2), own);
}

TEST(FixedGeometry, HasCopiesInSomeGroupsIfAskedFor) {
  const auto geometry = fixed_geometry({.size_bytes = std::uint64_t{10} << 30U, .copies = true});
  ASSERT_THAT(geometry, IsOk());
  std::vector<std::uint32_t> found;
  for (std::uint32_t group = 0; group < geometry->groups; ++group) {
    if (geometry->has_superblock(group)) {
      found.push_back(group);
      EXPECT_EQ(geometry->taken_in_group(group), 1U + 2 + 2 + 512);
    }
  }
  EXPECT_EQ(found, (std::vector<std::uint32_t>{0, 1, 3, 5, 7, 9, 25, 27, 49}));
}

TEST(FixedGeometry, LeavesOutALastGroupWithoutRoomForItsCopies) {
  const auto geometry =
      fixed_geometry({.size_bytes = (std::uint64_t{128} << 20U) + 4096, .copies = true});
  ASSERT_THAT(geometry, IsOk());
  EXPECT_EQ(geometry->groups, 1U);
  EXPECT_EQ(geometry->blocks, 32768U);
}

TEST(FittedGeometry, IsAsSmallAsItCanBe) {
  const Geometry small = fitted_geometry(100, 20, 4096);
  EXPECT_EQ(small.groups, 1U);
  EXPECT_EQ(small.inodes_per_group, 32U);
  EXPECT_EQ(small.run_start, 100U);
  EXPECT_EQ(small.blocks, 100U + 2 + 2);
}

TEST(FittedGeometry, CoversWhatItHoldsForAnyInput) {
  for (const std::uint32_t block_size : {1024U, 2048U, 4096U}) {
    for (std::uint64_t used : {2ULL, 1000ULL, 32767ULL, 32768ULL, 32769ULL, 1'000'000ULL}) {
      for (std::uint32_t inodes : {11U, 16U, 17U, 5000U, 32768U, 32769U, 4'000'000U}) {
        const Geometry geometry = fitted_geometry(used, inodes, block_size);
        EXPECT_GE(geometry.inodes(), inodes);
        EXPECT_LE(geometry.inodes_per_group, geometry.blocks_per_group());
        EXPECT_LE(used + geometry.run_blocks(), geometry.blocks);
        EXPECT_LT(geometry.group_start(geometry.groups - 1), geometry.blocks);
        EXPECT_LE(geometry.blocks, geometry.group_start(geometry.groups));
      }
    }
  }
}

}  // namespace
}  // namespace bulkhead::ext4
