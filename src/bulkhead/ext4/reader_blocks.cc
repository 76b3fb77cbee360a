#include "bulkhead/ext4/reader_blocks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/source.h"

namespace bulkhead::ext4 {

BlockReader::BlockReader(Source& source, std::uint32_t block_size, std::uint64_t blocks,
                         std::size_t cache_bytes)
    : source_(source),
      block_size_(block_size),
      blocks_(blocks),
      slots_(static_cast<std::size_t>(std::clamp<std::uint64_t>(
          std::min<std::uint64_t>(cache_bytes / block_size, blocks), 1, SIZE_MAX))) {}

Result<> BlockReader::read_copy(const JournalCopy& copy, MutableBytes content) {
  BH_TRY(source_.read(copy.block * block_size_, content));
  if (copy.is_escaped) {
    const be32 magic = kJournalMagic;
    std::memcpy(content.data(), &magic, sizeof magic);
  }
  return {};
}

Result<Block> BlockReader::block(std::uint64_t number) {
  if (number >= blocks_) {
    return fail(ErrorCode::Corrupt, "block {}: the file system has {}", number, blocks_);
  }
  Slot& slot = slots_[static_cast<std::size_t>(number % slots_.size())];
  if (slot.block && slot.number == number) {
    return slot.block;
  }
  auto content = std::make_shared<std::vector<std::byte>>(block_size_);
  if (const auto copy = copies_.find(number); copy != copies_.end()) {
    BH_TRY(read_copy(copy->second, *content));
  } else {
    BH_TRY(source_.read(number * block_size_, *content));
  }
  slot = {.number = number, .block = std::move(content)};
  return slot.block;
}

Result<> BlockReader::read(std::uint64_t start, std::uint64_t offset, MutableBytes buffer) {
  start += offset / block_size_;
  offset %= block_size_;
  const std::uint64_t end = start + (offset + buffer.size() + block_size_ - 1) / block_size_;
  if (start > blocks_ || end > blocks_) {
    return fail(ErrorCode::Corrupt, "blocks {} to {}: the file system has {}", start, end, blocks_);
  }
  BH_TRY(source_.read(start * block_size_ + offset, buffer));
  // With data=journal contents are in the journal too.
  std::vector<std::byte> content;
  for (auto copy = copies_.lower_bound(start); copy != copies_.end() && copy->first < end; ++copy) {
    content.resize(block_size_);
    BH_TRY(read_copy(copy->second, content));
    const std::uint64_t begin = (copy->first - start) * block_size_;
    const std::uint64_t from = std::max(begin, offset);
    const std::uint64_t to = std::min(begin + block_size_, offset + buffer.size());
    if (from < to) {
      std::memcpy(buffer.data() + (from - offset), content.data() + (from - begin), to - from);
    }
  }
  return {};
}

void BlockReader::set_journal_copies(JournalCopies copies) {
  copies_ = std::move(copies);
  std::ranges::fill(slots_, Slot{});
}

}  // namespace bulkhead::ext4
