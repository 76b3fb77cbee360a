#include "bulkhead/ext4/file_content.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/block_writer.h"
#include "bulkhead/ext4/extents.h"
#include "bulkhead/ext4/tree.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint64_t kMostBlocks = 0xffffffff;  // logical block numbers have 32 bits

/// Whether all bytes are zero. Fast where they are not: most blocks differ in the first bytes.
bool is_zero(Bytes data) {
  return data.empty() || (data[0] == std::byte{0} &&
                          std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace

Result<> FileContent::check_blocks(std::uint64_t blocks) const {
  if (blocks > kMostBlocks) {
    return fail(ErrorCode::Invalid, "a file of more than {} blocks of {} bytes", kMostBlocks,
                block_size());
  }
  return {};
}

void FileContent::start() {
  block_ = 0;
  partial_size_ = 0;
  padding_ = 0;
  extents_.clear();
}

/// Nothing comes behind a block that was copied and is not full.
Result<> FileContent::check_open() const {
  if (padding_ > 0) {
    return fail(ErrorCode::FailedPrecondition, "append: the file has its end already");
  }
  return {};
}

Result<> FileContent::append(Bytes data, BlockAllocator& allocator, BlockWriter& writer) {
  BH_TRY(check_open());
  if (partial_size_ > 0) {
    const std::size_t take = std::min(data.size(), block_size() - partial_size_);
    copy_bytes(data.first(take), std::span(partial_).subspan(partial_size_));
    partial_size_ += take;
    data = data.subspan(take);
    if (partial_size_ < block_size()) {
      return {};
    }
    BH_TRY(write_partial(allocator, writer));
  }
  const std::size_t whole = data.size() / block_size() * block_size();
  BH_TRY(write_blocks(data.first(whole), allocator, writer));
  const Bytes rest = data.subspan(whole);
  copy_bytes(rest, partial_);
  partial_size_ = rest.size();
  return {};
}

Result<> FileContent::append_hole(std::uint64_t length, BlockAllocator& allocator,
                                  BlockWriter& writer) {
  BH_TRY(check_open());
  if (partial_size_ > 0) {
    const auto take =
        static_cast<std::size_t>(std::min<std::uint64_t>(length, block_size() - partial_size_));
    std::fill_n(partial_.begin() + static_cast<std::ptrdiff_t>(partial_size_), take, std::byte{0});
    partial_size_ += take;
    length -= take;
    if (partial_size_ < block_size()) {
      return {};
    }
    BH_TRY(write_partial(allocator, writer));
  }
  BH_TRY(check_blocks(block_ + length / block_size()));
  block_ += length / block_size();
  partial_size_ = static_cast<std::size_t>(length % block_size());
  std::fill_n(partial_.begin(), partial_size_, std::byte{0});
  return {};
}

Result<> FileContent::append_copy(const os::FileRange& from, BlockAllocator& allocator,
                                  BlockWriter& writer) {
  BH_TRY(check_open());
  if (partial_size_ > 0) {
    return fail(ErrorCode::FailedPrecondition, "append: blocks in the middle of a block");
  }
  std::uint64_t offset = from.offset;
  std::uint64_t blocks = from.length / block_size();
  if (const auto rest = static_cast<std::size_t>(from.length % block_size()); rest > 0) {
    ++blocks;
    padding_ = block_size() - rest;
  }
  while (blocks > 0) {
    const BlockRun run = BH_TRY(extend(blocks, allocator));
    const std::uint64_t bytes = std::uint64_t{run.count} * block_size();
    BH_TRY(writer.copy(run.start, {.fd = from.fd, .offset = offset, .length = bytes}));
    offset += bytes;
    blocks -= run.count;
  }
  return {};
}

Result<> FileContent::finish(Node& node, BlockAllocator& allocator, BlockWriter& writer) {
  const std::uint64_t size = block_ * block_size() + partial_size_ - padding_;
  if (partial_size_ > 0) {
    BH_TRY(write_partial(allocator, writer));
  }
  node.size = size;
  if (extents_.size() == 1 && extents_.front().logical == 0) {
    node.start = extents_.front().start;
    node.run = extents_.front().count;
  } else if (!extents_.empty()) {
    node.map = std::make_unique<ExtentMap>();
    node.map->extents = extents_;
  }
  return {};
}

Result<> FileContent::write_partial(BlockAllocator& allocator, BlockWriter& writer) {
  const std::size_t size = partial_size_;
  std::fill(partial_.begin() + static_cast<std::ptrdiff_t>(size), partial_.end(), std::byte{0});
  partial_size_ = 0;
  return write_blocks(partial_, allocator, writer);
}

Result<> FileContent::write_blocks(Bytes data, BlockAllocator& allocator, BlockWriter& writer) {
  while (!data.empty()) {
    std::size_t size = 0;
    while (size < data.size() && !is_zero(data.subspan(size, block_size()))) {
      size += block_size();
    }
    BH_TRY(write_run(data.first(size), allocator, writer));
    data = data.subspan(size);
    while (!data.empty() && is_zero(data.first(block_size()))) {
      BH_TRY(check_blocks(++block_));
      data = data.subspan(block_size());
    }
  }
  return {};
}

/// The next blocks of the file: some of those that are wanted.
Result<BlockRun> FileContent::extend(std::uint64_t blocks, BlockAllocator& allocator) {
  BH_TRY(check_blocks(block_ + blocks));
  const BlockRun run =
      BH_TRY(allocator.allocate(static_cast<std::uint32_t>(std::min(blocks, kMostBlocks))));
  // Noted first: an image that fails to take the data is given up anyway.
  append_extent(
      extents_,
      {.logical = static_cast<std::uint32_t>(block_), .count = run.count, .start = run.start});
  block_ += run.count;
  return run;
}

Result<> FileContent::write_run(Bytes data, BlockAllocator& allocator, BlockWriter& writer) {
  while (!data.empty()) {
    const BlockRun run = BH_TRY(extend(data.size() / block_size(), allocator));
    const std::size_t bytes = std::size_t{run.count} * block_size();
    BH_TRY(writer.write(run.start, data.first(bytes)));
    data = data.subspan(bytes);
  }
  return {};
}

}  // namespace bulkhead::ext4
