#include "bulkhead/ext4/reader_journal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint32_t kReadFeatures = kJournalIncompatRevoke | kJournalIncompat64Bit |
                                        kJournalIncompatAsyncCommit | kJournalIncompatChecksumV2 |
                                        kJournalIncompatChecksumV3;
constexpr std::size_t kUuidSize = 16;
constexpr std::size_t kTailSize = 4;  // the checksum of descriptor and revoke blocks

/// Transaction numbers wrap around.
bool is_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

/// A tag in the form of the present journal.
struct Tag {
  std::uint64_t block = 0;
  std::uint32_t flags = 0;
  std::uint32_t checksum = 0;
};

class JournalReader {
 public:
  JournalReader(BlockReader& blocks, const Layout& layout, const Inode& inode)
      : blocks_(blocks), layout_(layout), inode_(inode), map_(blocks, layout, inode) {}

  Result<Replay> run() {
    BH_TRY(open());
    if (super_.start == 0) {
      return Replay{};
    }
    BH_TRY(scan());
    BH_TRY(walk(&JournalReader::take_revoke));
    BH_TRY(walk(&JournalReader::take_descriptor));
    replay_.transactions = end_ - super_.sequence;
    return std::move(replay_);
  }

 private:
  using Visit = Result<> (JournalReader::*)(const JournalHeader&, Bytes, std::uint32_t);

  Result<> open();
  Result<> scan();
  Result<> walk(Visit visit);
  Result<> take_revoke(const JournalHeader& header, Bytes block, std::uint32_t at);
  Result<> take_descriptor(const JournalHeader& header, Bytes block, std::uint32_t at);
  Result<> take_copy(const Tag& tag, std::uint32_t sequence, std::uint32_t at);

  Result<std::uint64_t> physical(std::uint32_t at);
  Result<Block> block(std::uint32_t at);
  [[nodiscard]] std::vector<Tag> tags_of(Bytes descriptor) const;
  [[nodiscard]] bool has_right_tail(Bytes block) const;
  [[nodiscard]] bool has_right_checksum(const JournalCommitBlock& commit, Bytes block) const;

  [[nodiscard]] bool has(std::uint32_t feature) const {
    return (super_.feature_incompat & feature) != 0;
  }

  [[nodiscard]] bool has_checksums() const {
    return has(kJournalIncompatChecksumV2 | kJournalIncompatChecksumV3);
  }

  [[nodiscard]] std::size_t tag_size() const;

  /// `count` blocks on, around the ring. `count` is less than its length.
  [[nodiscard]] std::uint32_t advance(std::uint32_t at, std::uint32_t count) const {
    const std::uint32_t left = super_.max_length - at;
    return count < left ? at + count : super_.first + (count - left);
  }

  [[nodiscard]] std::uint32_t ring_length() const { return super_.max_length - super_.first; }

  BlockReader& blocks_;
  const Layout& layout_;
  const Inode& inode_;
  BlockMap map_;
  JournalSuperblock super_;
  std::uint32_t seed_ = 0;
  std::uint32_t end_ = 0;                           ///< the first transaction that does not count
  std::map<std::uint64_t, std::uint32_t> revoked_;  ///< by the last transaction that did it
  Replay replay_;
};

Result<std::uint64_t> JournalReader::physical(std::uint32_t at) {
  const Run run = BH_TRY(map_.find(at, std::uint64_t{at} + 1));
  if (run.kind != RunKind::Data) {
    return fail(ErrorCode::Corrupt, "inode {}: hole in the journal at its block {}", inode_.number,
                at);
  }
  return run.physical;
}

Result<Block> JournalReader::block(std::uint32_t at) {
  const std::uint64_t where = BH_TRY(physical(at));
  return blocks_.block(where);
}

Result<> JournalReader::open() {
  const Block first = BH_TRY(block(0));
  std::memcpy(&super_, first->data(), sizeof super_);
  const auto corrupt = [&](const char* what) {
    return fail(ErrorCode::Corrupt, "inode {}: journal: {}", inode_.number, what);
  };
  if (super_.magic != kJournalMagic ||
      (super_.block_type != kJournalSuperblockV1 && super_.block_type != kJournalSuperblockV2)) {
    return corrupt("no superblock");
  }
  if (super_.block_type == kJournalSuperblockV1) {
    super_.feature_compat = super_.feature_incompat = super_.feature_ro_compat = 0U;
  }
  if (const std::uint32_t unknown = super_.feature_incompat & ~kReadFeatures; unknown != 0) {
    return fail(ErrorCode::Unsupported, "inode {}: journal: features {:#x}", inode_.number,
                unknown);
  }
  if (has_checksums()) {
    const std::uint32_t stored = super_.checksum;
    super_.checksum = 0U;
    if (crc32c(kChecksumStart, object_bytes(std::as_const(super_))) != stored) {
      return corrupt("wrong checksum of the superblock");
    }
  }
  if (super_.block_size != layout_.block_size ||
      super_.max_length > inode_.size / layout_.block_size || super_.max_length > layout_.blocks ||
      super_.first == 0 || super_.first >= super_.max_length || super_.start >= super_.max_length ||
      (super_.start != 0 && super_.start < super_.first)) {
    return corrupt("sizes in the superblock");
  }
  seed_ = crc32c(kChecksumStart, super_.uuid);
  return {};
}

std::size_t JournalReader::tag_size() const {
  if (has(kJournalIncompatChecksumV3)) {
    return sizeof(JournalTagV3);
  }
  // Two bytes more that nothing uses: an accident that became the format.
  const std::size_t size =
      sizeof(JournalTag) + (has(kJournalIncompatChecksumV2) ? sizeof(be16) : 0);
  return has(kJournalIncompat64Bit) ? size : size - sizeof(be32);
}

std::vector<Tag> JournalReader::tags_of(Bytes descriptor) const {
  const bool is_64bit = has(kJournalIncompat64Bit);
  const std::size_t end = descriptor.size() - (has_checksums() ? kTailSize : 0);
  std::vector<Tag> tags;
  std::size_t at = sizeof(JournalHeader);
  while (at + tag_size() <= end) {
    Tag tag;
    if (has(kJournalIncompatChecksumV3)) {
      JournalTagV3 stored;
      std::memcpy(&stored, descriptor.data() + at, sizeof stored);
      tag = {.block = stored.block_lo, .flags = stored.flags, .checksum = stored.checksum};
      tag.block |= is_64bit ? std::uint64_t{stored.block_hi} << 32U : 0;
    } else {
      JournalTag stored;
      std::memcpy(&stored, descriptor.data() + at, std::min(sizeof stored, tag_size()));
      tag = {.block = stored.block_lo, .flags = stored.flags, .checksum = stored.checksum};
      tag.block |= is_64bit ? std::uint64_t{stored.block_hi} << 32U : 0;
    }
    tags.push_back(tag);
    at += tag_size() + ((tag.flags & kTagSameUuid) != 0 ? 0 : kUuidSize);
    if ((tag.flags & kTagLast) != 0) {
      break;
    }
  }
  return tags;
}

bool JournalReader::has_right_tail(Bytes block) const {
  if (!has_checksums()) {
    return true;
  }
  const be32 zero = 0U;
  be32 stored;
  const Bytes covered = block.first(block.size() - sizeof stored);
  std::memcpy(&stored, block.data() + covered.size(), sizeof stored);
  return crc32c(crc32c(seed_, covered), object_bytes(zero)) == stored;
}

bool JournalReader::has_right_checksum(const JournalCommitBlock& commit, Bytes block) const {
  if (!has_checksums()) {
    return true;
  }
  JournalCommitBlock zeroed = commit;
  zeroed.checksums[0] = 0U;
  const std::uint32_t sum = crc32c(seed_, object_bytes(std::as_const(zeroed)));
  return crc32c(sum, block.subspan(sizeof zeroed)) == commit.checksums[0];
}

/// Finds where the whole transactions end.
Result<> JournalReader::scan() {
  std::uint32_t sequence = super_.sequence;
  std::uint32_t at = super_.start;
  std::uint64_t last_commit_seconds = 0;
  bool has_bad_descriptor = false;
  // More than once around is no journal.
  for (std::uint32_t seen = 0; seen < ring_length();) {
    const Block content = BH_TRY(block(at));
    JournalHeader header;
    std::memcpy(&header, content->data(), sizeof header);
    if (header.magic != kJournalMagic || header.sequence != sequence) {
      break;
    }
    std::uint32_t length = 1;
    if (header.block_type == kJournalDescriptor) {
      // It may be older than the ring's last turn, so its commit block decides.
      has_bad_descriptor = has_bad_descriptor || !has_right_tail(*content);
      length += static_cast<std::uint32_t>(tags_of(*content).size());
      if (length >= ring_length()) {
        break;
      }
    } else if (header.block_type == kJournalCommit) {
      JournalCommitBlock commit;
      std::memcpy(&commit, content->data(), sizeof commit);
      if (has_bad_descriptor) {
        if (commit.seconds >= last_commit_seconds) {
          return fail(ErrorCode::Corrupt,
                      "block {}: wrong checksum in transaction {} of the journal",
                      BH_TRY(physical(at)), sequence);
        }
        break;
      }
      if (!has_right_checksum(commit, *content)) {
        break;
      }
      last_commit_seconds = commit.seconds;
      ++sequence;
    } else if (header.block_type != kJournalRevoke) {
      break;
    }
    at = advance(at, length);
    seen += length;
  }
  end_ = sequence;
  return {};
}

/// Calls `visit` for every descriptor and revoke block of whole transactions.
Result<> JournalReader::walk(Visit visit) {
  std::uint32_t sequence = super_.sequence;
  std::uint32_t at = super_.start;
  while (sequence != end_) {
    const Block content = BH_TRY(block(at));
    JournalHeader header;
    std::memcpy(&header, content->data(), sizeof header);
    std::uint32_t length = 1;
    if (header.block_type == kJournalCommit) {
      ++sequence;
    } else {
      BH_TRY((this->*visit)(header, *content, at));
      if (header.block_type == kJournalDescriptor) {
        length += static_cast<std::uint32_t>(tags_of(*content).size());
      }
    }
    at = advance(at, length);
  }
  return {};
}

Result<> JournalReader::take_revoke(const JournalHeader& header, Bytes block, std::uint32_t at) {
  if (header.block_type != kJournalRevoke) {
    return {};
  }
  JournalRevokeHeader revoke;
  std::memcpy(&revoke, block.data(), sizeof revoke);
  const std::size_t room = block.size() - (has_checksums() ? kTailSize : 0);
  if (!has_right_tail(block) || revoke.used_bytes > room) {
    return fail(ErrorCode::Corrupt, "block {}: revoke block of the journal", BH_TRY(physical(at)));
  }
  const std::size_t size = has(kJournalIncompat64Bit) ? sizeof(be64) : sizeof(be32);
  for (std::size_t offset = sizeof revoke; offset + size <= revoke.used_bytes; offset += size) {
    be32 narrow;
    be64 wide;
    std::memcpy(&narrow, block.data() + offset, sizeof narrow);
    if (size == sizeof wide) {
      std::memcpy(&wide, block.data() + offset, sizeof wide);
    } else {
      wide = std::uint64_t{narrow};
    }
    // Transactions come in order, so the last one stays. A block that does not exist has no copy.
    if (wide < layout_.blocks) {
      revoked_[wide] = header.sequence;
    }
  }
  return {};
}

Result<> JournalReader::take_descriptor(const JournalHeader& header, Bytes block,
                                        std::uint32_t at) {
  if (header.block_type != kJournalDescriptor) {
    return {};
  }
  const std::vector<Tag> tags = tags_of(block);
  for (const Tag& tag : tags) {
    at = advance(at, 1);
    BH_TRY(take_copy(tag, header.sequence, at));
  }
  return {};
}

Result<> JournalReader::take_copy(const Tag& tag, std::uint32_t sequence, std::uint32_t at) {
  const auto revoked = revoked_.find(tag.block);
  if (revoked != revoked_.end() && !is_before(revoked->second, sequence)) {
    return {};
  }
  const std::uint64_t where = BH_TRY(physical(at));
  if (tag.block >= layout_.blocks) {
    return fail(ErrorCode::Corrupt, "block {}: copy of block {} in the journal of {} blocks", where,
                tag.block, layout_.blocks);
  }
  if (has_checksums()) {
    const Block content = BH_TRY(blocks_.block(where));
    const be32 number = sequence;
    const std::uint32_t sum = crc32c(crc32c(seed_, object_bytes(number)), *content);
    if ((has(kJournalIncompatChecksumV3) ? sum : sum & 0xffffU) != tag.checksum) {
      return fail(ErrorCode::Corrupt,
                  "block {}: wrong checksum of the copy of block {} in the journal", where,
                  tag.block);
    }
  }
  replay_.copies[tag.block] = {.block = where, .is_escaped = (tag.flags & kTagEscaped) != 0};
  return {};
}

}  // namespace

Result<Replay> read_journal(BlockReader& blocks, const Layout& layout) {
  if (layout.journal_inode == 0) {
    return fail(ErrorCode::Unsupported, "the image needs its journal, which is on another device");
  }
  const Inode inode = BH_TRY(read_inode(blocks, layout, layout.journal_inode));
  if (!inode.is_file() || (inode.flags & kInodeFlagInlineData) != 0) {
    return fail(ErrorCode::Corrupt, "inode {}: not a journal", inode.number);
  }
  JournalReader reader(blocks, layout, inode);
  return reader.run();
}

}  // namespace bulkhead::ext4
