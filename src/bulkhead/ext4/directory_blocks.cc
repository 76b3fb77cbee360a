#include "bulkhead/ext4/directory_blocks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/block_allocator.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/extents.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
Result<> DirectoryBlocks::add(std::string_view name, std::uint32_t inode, std::uint8_t type) {
  const std::size_t size = entry_size(name);
  if (used_ + size > room(block_size())) {
    BH_TRY(close_block());
  }
  DirectoryEntryHead head;
  head.inode = inode;
  head.record_length = static_cast<std::uint16_t>(size);
  head.name_length = static_cast<std::uint8_t>(name.size());
  head.file_type = type;
  std::memcpy(content_.data() + used_, &head, sizeof head);
  std::memcpy(content_.data() + used_ + sizeof head, name.data(), name.size());
  last_ = used_;
  used_ += size;
  return {};
}

Result<> DirectoryBlocks::finish() { return used_ > 0 ? close_block() : Result<>(); }

Result<> DirectoryBlocks::close_block() {
  // The last entry reaches to the tail.
  const std::size_t tail_at = room(block_size());
  const le16 rest = static_cast<std::uint16_t>(tail_at - last_);
  std::memcpy(content_.data() + last_ + offsetof(DirectoryEntryHead, record_length), &rest,
              sizeof rest);
  DirectoryTail tail{};
  tail.record_length = static_cast<std::uint16_t>(sizeof tail);
  tail.file_type = kTypeChecksum;
  tail.checksum = crc32c(seed_, std::span(content_).first(tail_at));
  std::memcpy(content_.data() + tail_at, &tail, sizeof tail);
  BH_TRY(write(content_));
  std::ranges::fill(content_, std::byte{0});
  used_ = 0;
  last_ = 0;
  return {};
}

Result<> DirectoryBlocks::add_raw(Bytes block) {
  BH_CHECK(used_ == 0);
  return write(block);
}

Result<> DirectoryBlocks::write(Bytes block) {
  const BlockRun run = BH_TRY(allocator_.allocate(1));
  BH_TRY(writer_.write(run.start, block));
  append_extent(extents_, {.logical = blocks_, .count = 1, .start = run.start});
  ++blocks_;
  return {};
}

std::uint8_t entry_type(std::uint16_t mode) {
  switch (mode & kModeTypeMask) {
    case kModeDirectory:
      return kTypeDirectory;
    case kModeSymlink:
      return kTypeSymlink;
    case kModeCharacter:
      return kTypeCharacter;
    case kModeBlock:
      return kTypeBlock;
    case kModeFifo:
      return kTypeFifo;
    case kModeSocket:
      return kTypeSocket;
    default:
      return kTypeFile;
  }
}

}  // namespace bulkhead::ext4
