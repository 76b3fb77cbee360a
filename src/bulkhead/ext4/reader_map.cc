#include "bulkhead/ext4/reader_map.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint64_t kInInode = 0;  // the "block" of what the inode itself holds
constexpr std::uint64_t kMaxBlocks = std::uint64_t{1} << 32U;
constexpr std::uint32_t kMaxDepth = 5;
constexpr std::size_t kRecordSize = sizeof(ExtentLeaf);
constexpr std::uint64_t kDirectPointers = 12;

template <class T>
T record_at(Bytes node, std::size_t index) {
  T record;
  std::memcpy(&record, node.data() + sizeof(ExtentHeader) + index * kRecordSize, sizeof record);
  return record;
}

ExtentHeader header_of(Bytes node) {
  ExtentHeader header;
  std::memcpy(&header, node.data(), sizeof header);
  return header;
}

std::uint32_t pointer_at(Bytes pointers, std::size_t index) {
  le32 pointer;
  std::memcpy(&pointer, pointers.data() + index * sizeof pointer, sizeof pointer);
  return pointer;
}

}  // namespace

BlockMap::BlockMap(BlockReader& blocks, const Layout& layout, const Inode& inode)
    : blocks_(blocks),
      layout_(layout),
      inode_(inode.number),
      seed_(inode.seed),
      has_extents_((inode.flags & kInodeFlagExtents) != 0),
      root_(inode.content) {}

Error BlockMap::corrupt(std::uint64_t block, const char* what) const {
  return corrupt_at(inode_, block, what);
}

Result<Run> BlockMap::find(std::uint64_t logical, std::uint64_t end) {
  if (logical < leaf_.begin || logical >= leaf_.end) {
    BH_TRY(has_extents_ ? load_extents(logical) : load_pointers(logical));
  }
  const auto after = std::ranges::upper_bound(runs_, logical, {}, &Run::logical);
  if (after != runs_.begin()) {
    const Run& run = *std::prev(after);
    const std::uint64_t into = logical - run.logical;
    if (into < run.count) {
      return Run{.logical = logical,
                 .count = std::min(run.count - into, end - logical),
                 .physical = run.physical + into,
                 .kind = run.kind};
    }
  }
  const std::uint64_t next = after != runs_.end() ? after->logical : leaf_.end;
  return Run{.logical = logical, .count = std::min(next, end) - logical};
}

Result<> BlockMap::check_extent_node(Bytes node, std::uint64_t node_block, std::size_t capacity,
                                     std::uint32_t depth) const {
  const ExtentHeader header = header_of(node);
  if (header.magic != kExtentMagic) {
    return corrupt(node_block, "no extent node");
  }
  if (header.max > capacity || header.entries > header.max) {
    return corrupt(node_block, "more extents than fit");
  }
  if (header.depth != depth) {
    return corrupt(node_block, "depth of the extent node");
  }
  if (depth > 0 && header.entries == 0) {
    return corrupt(node_block, "empty extent index");
  }
  return {};
}

Result<> BlockMap::check_extent_checksum(Bytes node, std::uint64_t node_block) const {
  if (!layout_.has_checksums()) {
    return {};
  }
  // Behind the last record that would fit.
  const std::size_t offset = sizeof(ExtentHeader) + kRecordSize * header_of(node).max;
  le32 stored;
  std::memcpy(&stored, node.data() + offset, sizeof stored);
  if (crc32c(seed_, node.first(offset)) != stored) {
    return corrupt(node_block, "wrong checksum of the extent node");
  }
  return {};
}

Result<> BlockMap::load_extents(std::uint64_t logical) {
  Bytes node = root_;
  std::uint64_t node_block = kInInode;
  Block holder;
  Range range{.begin = 0, .end = kMaxBlocks};
  std::uint32_t depth = header_of(node).depth;
  if (depth > kMaxDepth) {
    return corrupt(node_block, "depth of the extent tree");
  }
  BH_TRY(check_extent_node(node, node_block, kExtentsInInode, depth));
  while (depth > 0) {
    const std::size_t entries = header_of(node).entries;
    std::optional<ExtentIndex> chosen;
    std::uint64_t before = range.begin;
    Range child{.begin = range.begin, .end = range.end};
    for (std::size_t i = 0; i < entries; ++i) {
      const auto index = record_at<ExtentIndex>(node, i);
      if (index.block < before || index.block >= range.end || (i > 0 && index.block == before)) {
        return corrupt(node_block, "extent index out of order");
      }
      before = index.block;
      if (index.block <= logical) {
        chosen = index;
        child.begin = index.block;
      } else {
        child.end = index.block;
        break;
      }
    }
    if (!chosen) {
      leaf_ = child;
      runs_.clear();
      return {};
    }
    range = child;
    node_block = chosen->leaf_lo | std::uint64_t{chosen->leaf_hi} << 32U;
    if (node_block == 0 || node_block >= layout_.blocks) {
      return corrupt(node_block, "extent node outside of the image");
    }
    holder = BH_TRY(blocks_.block(node_block));
    node = *holder;
    --depth;
    const std::size_t capacity = (layout_.block_size - sizeof(ExtentHeader)) / kRecordSize;
    BH_TRY(check_extent_node(node, node_block, capacity, depth));
    BH_TRY(check_extent_checksum(node, node_block));
    ++leaves_;
  }
  return load_extent_leaf(node, node_block, range);
}

Result<> BlockMap::load_extent_leaf(Bytes node, std::uint64_t node_block, const Range& range) {
  const std::size_t entries = header_of(node).entries;
  // An error leaves nothing behind that looks like a leaf.
  leaf_ = {};
  runs_.clear();
  runs_.reserve(entries);
  std::uint64_t free_from = range.begin;
  for (std::size_t i = 0; i < entries; ++i) {
    const auto leaf = record_at<ExtentLeaf>(node, i);
    Run run{.logical = leaf.block,
            .count = leaf.length,
            .physical = leaf.start_lo | std::uint64_t{leaf.start_hi} << 32U,
            .kind = RunKind::Data};
    if (run.count > kMaxExtentBlocks) {
      run.count -= kMaxExtentBlocks;
      run.kind = RunKind::Unwritten;
    }
    if (run.count == 0 || run.logical < free_from || run.logical + run.count > range.end) {
      return corrupt(node_block, "extent out of order");
    }
    if (run.physical == 0 || run.physical >= layout_.blocks ||
        run.count > layout_.blocks - run.physical) {
      return corrupt(node_block, "extent outside of the image");
    }
    free_from = run.logical + run.count;
    runs_.push_back(run);
  }
  leaf_ = range;
  return {};
}

Result<> BlockMap::load_pointers(std::uint64_t logical) {
  if (logical < kDirectPointers) {
    return load_pointer_leaf(Bytes(root_).first(kDirectPointers * sizeof(le32)), kInInode, 0);
  }
  const std::uint64_t fan_out = layout_.block_size / sizeof(le32);
  std::uint64_t first = kDirectPointers;
  std::uint64_t span = fan_out;
  std::size_t level = 1;
  while (logical - first >= span) {
    first += span;
    span *= fan_out;
    if (++level > 3) {
      return corrupt(kInInode, "larger than block pointers reach");
    }
  }
  std::uint64_t node_block = pointer_at(root_, kDirectPointers + level - 1);
  for (;;) {
    if (node_block == 0) {
      leaf_ = {.begin = first, .end = first + span};
      runs_.clear();
      return {};
    }
    if (node_block >= layout_.blocks) {
      return corrupt(node_block, "block pointer outside of the image");
    }
    const Block holder = BH_TRY(blocks_.block(node_block));
    ++leaves_;
    if (level == 1) {
      return load_pointer_leaf(*holder, node_block, first);
    }
    --level;
    span /= fan_out;
    const std::uint64_t index = (logical - first) / span;
    first += index * span;
    node_block = pointer_at(*holder, static_cast<std::size_t>(index));
  }
}

Result<> BlockMap::load_pointer_leaf(Bytes pointers, std::uint64_t node_block,
                                     std::uint64_t first) {
  leaf_ = {};
  runs_.clear();
  const std::size_t count = pointers.size() / sizeof(le32);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t pointer = pointer_at(pointers, i);
    if (pointer == 0) {
      continue;
    }
    if (pointer >= layout_.blocks) {
      return corrupt(node_block, "block pointer outside of the image");
    }
    if (!runs_.empty() && runs_.back().logical + runs_.back().count == first + i &&
        runs_.back().physical + runs_.back().count == pointer) {
      ++runs_.back().count;
    } else {
      runs_.push_back(
          {.logical = first + i, .count = 1, .physical = pointer, .kind = RunKind::Data});
    }
  }
  leaf_ = {.begin = first, .end = first + count};
  return {};
}

}  // namespace bulkhead::ext4
