#include "bulkhead/ext4/extents.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tree.h"

namespace bulkhead::ext4 {
namespace {

/// An entry of any level: leaves and indexes have the same size.
using Record = std::array<std::byte, 12>;

template <class T>
Record record_of(const T& object) {
  Record record;
  std::memcpy(record.data(), &object, record.size());
  return record;
}

ExtentHeader header_of(std::size_t entries, std::uint16_t max, std::uint16_t depth) {
  ExtentHeader header;
  header.magic = kExtentMagic;
  header.entries = static_cast<std::uint16_t>(entries);
  header.max = max;
  header.depth = depth;
  return header;
}

std::vector<Record> leaves_of(std::span<const Extent> extents) {
  std::vector<Record> leaves;
  for (const Extent& extent : extents) {
    for (std::uint32_t at = 0; at < extent.count; at += kMaxExtentBlocks) {
      const std::uint64_t start = extent.start + at;
      ExtentLeaf leaf;
      leaf.block = extent.logical + at;
      leaf.length = static_cast<std::uint16_t>(std::min(kMaxExtentBlocks, extent.count - at));
      leaf.start_hi = static_cast<std::uint16_t>(start >> 32U);
      leaf.start_lo = static_cast<std::uint32_t>(start);
      leaves.push_back(record_of(leaf));
    }
  }
  return leaves;
}

/// Puts the header and records of one node at the front of `content`.
void fill_node(std::span<std::byte> content, std::span<const Record> records, std::uint16_t max,
               std::uint16_t depth) {
  const ExtentHeader header = header_of(records.size(), max, depth);
  std::memcpy(content.data(), &header, sizeof header);
  copy_bytes(std::as_bytes(records), content.subspan(sizeof header));
}

/// Writes one level into blocks of its own and returns the level above it.
Result<std::vector<Record>> write_level(std::span<const Record> records, std::uint16_t depth,
                                        std::uint32_t seed, BlockAllocator& allocator,
                                        BlockWriter& writer) {
  std::vector<Record> above;
  const std::size_t most = (writer.block_size() - sizeof(ExtentHeader)) / sizeof(Record);
  const std::size_t tail = sizeof(ExtentHeader) + most * sizeof(Record);
  for (; !records.empty(); records = records.subspan(std::min(records.size(), most))) {
    const auto here = records.first(std::min(records.size(), most));
    std::vector<std::byte> content(writer.block_size());
    fill_node(content, here, static_cast<std::uint16_t>(most), depth);
    const le32 checksum = crc32c(seed, std::span(content).first(tail));
    std::memcpy(content.data() + tail, &checksum, sizeof checksum);
    const std::uint64_t block = BH_TRY(allocator.allocate(1)).start;
    BH_TRY(writer.write(block, content));
    ExtentIndex index;
    std::memcpy(&index.block, here.front().data(), sizeof index.block);
    index.leaf_lo = static_cast<std::uint32_t>(block);
    index.leaf_hi = static_cast<std::uint16_t>(block >> 32U);
    above.push_back(record_of(index));
  }
  return above;
}

}  // namespace

void append_extent(std::vector<Extent>& extents, const Extent& extent) {
  if (!extents.empty()) {
    Extent& last = extents.back();
    if (last.logical + last.count == extent.logical && last.start + last.count == extent.start) {
      last.count += extent.count;
      return;
    }
  }
  extents.push_back(extent);
}

Result<ExtentTree> write_extent_tree(std::span<const Extent> extents, std::uint32_t seed,
                                     BlockAllocator& allocator, BlockWriter& writer) {
  ExtentTree tree{};
  std::vector<Record> records = leaves_of(extents);
  std::uint16_t depth = 0;
  while (records.size() > kExtentsInInode) {
    std::vector<Record> above = BH_TRY(write_level(records, depth, seed, allocator, writer));
    tree.blocks += static_cast<std::uint32_t>(above.size());
    records = std::move(above);
    ++depth;
  }
  // The format allows five levels; 84^5 extents are more than a file has blocks.
  BH_CHECK(depth <= 5);
  fill_node(tree.root, records, kExtentsInInode, depth);
  return tree;
}

}  // namespace bulkhead::ext4
