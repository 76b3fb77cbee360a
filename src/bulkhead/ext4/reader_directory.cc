#include "bulkhead/ext4/reader_directory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/reader_xattr.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kLeastRecord = 12;  // a name of one byte

/// Blocks of 64 KiB are longer than the field can say; two low bits stand for its high ones.
std::size_t record_length(le16 field, std::uint32_t block_size) {
  const std::size_t length = field;
  if (block_size < (1U << 16U)) {
    return length;
  }
  return length == 0 || length == 0xffff ? block_size : (length & 0xfffcU) | (length & 3U) << 16U;
}

DirectoryEntryHead head_at(Bytes area, std::size_t at) {
  DirectoryEntryHead head;
  std::memcpy(&head, area.data() + at, sizeof head);
  return head;
}

}  // namespace

DirectoryReader::DirectoryReader(BlockReader& blocks, const Layout& layout, const Inode& inode)
    : blocks_(blocks),
      layout_(layout),
      map_(blocks, layout, inode),
      inode_(inode.number),
      seed_(inode.seed),
      is_indexed_((inode.flags & kInodeFlagIndex) != 0) {}

Result<DirectoryReader> DirectoryReader::open(BlockReader& blocks, const Layout& layout,
                                              const Inode& inode) {
  if (!inode.is_directory()) {
    return fail(ErrorCode::Invalid, "inode {}: not a directory", inode.number);
  }
  if ((inode.flags & kInodeFlagEncrypted) != 0) {
    return fail(ErrorCode::Unsupported, "inode {}: encrypted", inode.number);
  }
  DirectoryReader reader(blocks, layout, inode);
  if ((inode.flags & kInodeFlagInlineData) != 0) {
    BH_TRY(reader.open_inline(inode));
    return reader;
  }
  // More blocks than the image has can only be some of them again and again.
  if (inode.size == 0 || inode.size % layout.block_size != 0 ||
      inode.size / layout.block_size > layout.blocks) {
    return reader.corrupt("size of the directory");
  }
  reader.end_block_ = inode.size / layout.block_size;
  return reader;
}

// An inline directory has its parent's number first, and no "." and "..".
Result<> DirectoryReader::open_inline(const Inode& inode) {
  inline_ = BH_TRY(read_inline(layout_, inode));
  le32 parent;
  if (inline_.head.size() < sizeof parent) {
    return corrupt("size of the directory");
  }
  std::memcpy(&parent, inline_.head.data(), sizeof parent);
  parent_ = parent;
  area_ = Bytes(inline_.head).subspan(sizeof parent);
  has_inline_rest_ = !inline_.rest.empty();
  return {};
}

Error DirectoryReader::corrupt(const char* what) const {
  return corrupt_at(inode_, physical_, what);
}

Result<> DirectoryReader::check_index_checksum(Bytes block, std::size_t at) const {
  CountAndLimit counts;
  std::memcpy(&counts, block.data() + at, sizeof counts);
  const std::size_t end = at + std::size_t{counts.limit} * sizeof(IndexEntry);
  if (counts.count > counts.limit || end + sizeof(IndexTail) > block.size()) {
    return corrupt("index of the directory");
  }
  IndexTail tail;
  std::memcpy(&tail, block.data() + end, sizeof tail);
  const std::uint32_t stored = tail.checksum;
  tail.checksum = 0U;
  std::uint32_t sum =
      crc32c(seed_, block.first(at + std::size_t{counts.count} * sizeof(IndexEntry)));
  sum = crc32c(sum, object_bytes(tail));
  return sum == stored ? Result<>() : corrupt("wrong checksum of the directory's index");
}

Result<> DirectoryReader::check_checksum(Bytes block) const {
  if (!layout_.has_checksums()) {
    return {};
  }
  const DirectoryEntryHead first = head_at(block, 0);
  if (is_indexed_ && next_block_ == 0) {
    return check_index_checksum(block, kRootEntriesAt);
  }
  // An inner node of the tree looks like one unused entry.
  if (is_indexed_ && first.inode == 0 &&
      record_length(first.record_length, layout_.block_size) == block.size()) {
    return check_index_checksum(block, kNodeEntriesAt);
  }
  DirectoryTail tail;
  std::memcpy(&tail, block.data() + block.size() - sizeof tail, sizeof tail);
  if (tail.zero != 0 || tail.record_length != sizeof tail || tail.zero_name_length != 0 ||
      tail.file_type != kTypeChecksum) {
    return corrupt("directory block without a checksum");
  }
  if (crc32c(seed_, block.first(block.size() - sizeof tail)) != tail.checksum) {
    return corrupt("wrong checksum of the directory block");
  }
  return {};
}

/// Goes to the next block, or the second part of an inline directory.
Result<bool> DirectoryReader::next_area() {
  at_ = 0;
  if (has_inline_rest_) {
    has_inline_rest_ = false;
    area_ = inline_.rest;
    return true;
  }
  if (next_block_ == end_block_) {
    return false;
  }
  const Run run = BH_TRY(map_.find(next_block_, next_block_ + 1));
  if (run.kind != RunKind::Data) {
    return corrupt("hole in the directory");
  }
  physical_ = run.physical;
  block_ = BH_TRY(blocks_.block(run.physical));
  area_ = *block_;
  BH_TRY(check_checksum(area_));
  ++next_block_;
  return true;
}

/// Whether an entry is one of the first two, which name the directory and its parent.
Result<bool> DirectoryReader::take_dots(const NameView& entry) {
  const bool is_first = next_block_ == 1 && at_ == 0;
  if (is_first) {
    if (entry.name != "." || entry.inode != inode_) {
      return corrupt("no entry \".\" at the beginning of the directory");
    }
    return true;
  }
  if (next_block_ > 0 && parent_ == 0) {
    if (entry.name != "..") {
      return corrupt("no entry \"..\" at the beginning of the directory");
    }
    parent_ = entry.inode;
    return true;
  }
  return false;
}

Result<bool> DirectoryReader::next(NameView& entry) {
  for (;;) {
    if (at_ >= area_.size() && !BH_TRY(next_area())) {
      return false;
    }
    if (area_.size() - at_ < sizeof(DirectoryEntryHead)) {
      return corrupt("directory entry beyond the end");
    }
    const DirectoryEntryHead head = head_at(area_, at_);
    const std::size_t length = record_length(head.record_length, layout_.block_size);
    const std::size_t name_at = at_ + sizeof head;
    if (length < kLeastRecord || length % 4 != 0 || length > area_.size() - at_ ||
        sizeof head + head.name_length > length) {
      return corrupt("length of a directory entry");
    }
    entry = {.name = as_text(area_.subspan(name_at, head.name_length)), .inode = head.inode};
    if (entry.inode == 0) {
      at_ += length;
      continue;
    }
    if (entry.inode > layout_.inodes) {
      return corrupt("directory entry for an inode that does not exist");
    }
    const bool is_dots = BH_TRY(take_dots(entry));
    at_ += length;
    if (is_dots) {
      continue;
    }
    if (entry.name.empty() || entry.name == "." || entry.name == ".." ||
        entry.name.find('/') != std::string_view::npos ||
        entry.name.find('\0') != std::string_view::npos) {
      return corrupt("name of a directory entry");
    }
    // The root is in no directory, and the other reserved ones are not files.
    if (entry.inode < layout_.first_inode) {
      return corrupt("directory entry for a reserved inode");
    }
    return true;
  }
}

}  // namespace bulkhead::ext4
