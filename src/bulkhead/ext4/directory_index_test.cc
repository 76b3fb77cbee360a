#include "bulkhead/ext4/directory_index.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/directory_blocks.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint32_t kBlockSize = 4096;

HashSeed counting_seed() {
  HashSeed seed{};
  for (std::size_t i = 0; i < seed.size(); ++i) {
    seed[i] = std::byte(static_cast<std::uint8_t>(i));
  }
  return seed;
}

TEST(HashName, AgreesWithDebugfs) {
  // debugfs -R "dx_hash -h half_md4 -s 00010203-0405-0607-0809-0a0b0c0d0e0f NAME"
  const HashSeed seed = counting_seed();
  EXPECT_EQ(hash_name("hello", seed), (NameHash{0xaf3d0524, 0x4eeb19be}));
  EXPECT_EQ(hash_name("a-name-that-is-longer-than-thirty-two-bytes-by-far", seed),
            (NameHash{0xce07f660, 0xbca2c252}));
  EXPECT_EQ(hash_name("caf\xc3\xa9", seed), (NameHash{0xd6357b70, 0x95c9ec7e}));
  EXPECT_EQ(hash_name("hello", {}), (NameHash{0x1746da32, 0x420013b5}));
}

std::uint32_t blocks_of(std::size_t count, std::size_t name_size) {
  std::vector<std::string> names;
  names.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back(std::to_string(i));
    names.back().resize(name_size, '-');
  }
  std::vector<NamedInode> entries;
  entries.reserve(count);
  for (const std::string& name : names) {
    entries.push_back({.name = name, .inode = 12, .type = kTypeFile});
  }
  MemoryDevice device;
  BlockWriter writer(device, kBlockSize);
  BlockAllocator allocator(1, 1'000'000);
  DirectoryBlocks blocks(0, allocator, writer);
  EXPECT_THAT(write_indexed(2, 2, entries, counting_seed(), blocks), IsOkAnd(true));
  EXPECT_THAT(writer.flush(), IsOk());
  const std::vector<std::byte> root = device.read(kBlockSize, kBlockSize);
  EXPECT_EQ(as_text(root).substr(8, 1), ".");
  EXPECT_EQ(as_text(root).substr(20, 2), "..");
  return blocks.blocks();
}

TEST(WriteIndexed, PutsNodesBetweenRootAndLeavesWhenNeeded) {
  // 15 names of 255 bytes fit a leaf, 507 leaves under a root, 510 under a node.
  EXPECT_EQ(blocks_of(16, 255), 1U + 2);
  EXPECT_EQ(blocks_of(std::size_t{15} * 507, 255), 1U + 507);
  EXPECT_EQ(blocks_of(std::size_t{15} * 508, 255), 1U + 1 + 508);
  EXPECT_EQ(blocks_of(std::size_t{15} * 511, 255), 1U + 2 + 511);
}

}  // namespace
}  // namespace bulkhead::ext4
