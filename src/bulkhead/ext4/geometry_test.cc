#include "bulkhead/ext4/geometry.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

TEST(FixedGeometry, GivesTheInodesAskedFor) {
  const auto geometry = fixed_geometry(std::uint64_t{10} << 30U, 16384);
  ASSERT_THAT(geometry, IsOk());
  EXPECT_EQ(geometry->blocks, 2'621'440U);
  EXPECT_EQ(geometry->groups, 80U);
  EXPECT_EQ(geometry->inodes(), 655'360U);
  EXPECT_EQ(geometry->descriptor_blocks(), 2U);
  EXPECT_EQ(geometry->metadata_start, 3U);
  EXPECT_EQ(geometry->metadata_blocks(), 2U * 80 + 80U * 512);
}

TEST(FixedGeometry, HoldsFromOneMebibyteToSixtyFourTebibytes) {
  for (std::uint64_t size = 1U << 20U; size <= std::uint64_t{64} << 40U; size *= 2) {
    const auto geometry = fixed_geometry(size - 4096, 16384);
    ASSERT_THAT(geometry, IsOk()) << size;
    EXPECT_LE(geometry->inodes_per_group, kMaxInodesPerGroup);
    EXPECT_EQ(geometry->inodes_per_group % kInodesPerBlock, 0U);
    EXPECT_LT(geometry->metadata_start + geometry->metadata_blocks(), geometry->blocks);
  }
  EXPECT_THAT(fixed_geometry(0, 16384), IsError(ErrorCode::Invalid));
  EXPECT_THAT(fixed_geometry(8192, 16384), IsError(ErrorCode::Invalid));
  EXPECT_THAT(fixed_geometry(std::uint64_t{65} << 40U, 16384), IsError(ErrorCode::Invalid));
}

TEST(FittedGeometry, IsAsSmallAsItCanBe) {
  const Geometry small = fitted_geometry(100, 20);
  EXPECT_EQ(small.groups, 1U);
  EXPECT_EQ(small.inodes_per_group, 32U);
  EXPECT_EQ(small.metadata_start, 100U);
  EXPECT_EQ(small.blocks, 100U + 2 + 2);
}

TEST(FittedGeometry, CoversWhatItHoldsForAnyInput) {
  for (std::uint64_t used : {1ULL, 1000ULL, 32767ULL, 32768ULL, 32769ULL, 1'000'000ULL}) {
    for (std::uint32_t inodes : {11U, 16U, 17U, 5000U, 32768U, 32769U, 4'000'000U}) {
      const Geometry geometry = fitted_geometry(used, inodes);
      EXPECT_GE(geometry.inodes(), inodes);
      EXPECT_LE(geometry.inodes_per_group, kMaxInodesPerGroup);
      EXPECT_LE(used + geometry.metadata_blocks(), geometry.blocks);
      EXPECT_EQ((geometry.blocks + kBlocksPerGroup - 1) / kBlocksPerGroup, geometry.groups);
    }
  }
}

}  // namespace
}  // namespace bulkhead::ext4
