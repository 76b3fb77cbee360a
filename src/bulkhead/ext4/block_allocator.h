#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/geometry.h"

namespace bulkhead::ext4 {

/// A run of blocks.
struct BlockRun {
  std::uint64_t start = 0;
  std::uint32_t count = 0;

  [[nodiscard]] std::uint64_t end() const { return start + count; }

  bool operator==(const BlockRun&) const = default;
};

/// What becomes of blocks that are given back.
enum class Freed : std::uint8_t {
  Reuse,
  Keep,  ///< nobody gets them: what is in them stays
};

/// Gives out blocks in ascending order, so that a stream of files becomes a stream of writes; what
/// was freed is used again only when the end is reached, if at all.
class BlockAllocator {
 public:
  /// Blocks from `first` up to `limit`, exclusive.
  BlockAllocator(std::uint64_t first, std::uint64_t limit, Freed freed = Freed::Reuse)
      : cursor_(first), limit_(limit), freed_(freed) {}

  /// All blocks of a file system but those that its metadata takes in its groups.
  explicit BlockAllocator(const Geometry& geometry)
      : cursor_(geometry.group_start(0)), limit_(geometry.blocks), geometry_(geometry) {}

  /// A run of 1 to `wanted` blocks. `wanted` is at least 1.
  /// Errors: NoSpace.
  Result<BlockRun> allocate(std::uint32_t wanted);

  /// One run of `count` blocks at the end. Errors: NoSpace.
  Result<BlockRun> allocate_at_end(std::uint64_t count);

  void free(const BlockRun& run);

  [[nodiscard]] Freed freed() const { return freed_; }

  /// The first block never given out, or freed up to there.
  [[nodiscard]] std::uint64_t end() const { return cursor_; }

  /// Free runs below end(): start and number of blocks.
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& holes() const { return holes_; }

 private:
  std::uint64_t skip_metadata();

  std::uint64_t cursor_;
  std::uint64_t limit_;
  Freed freed_ = Freed::Reuse;
  std::optional<Geometry> geometry_;
  std::map<std::uint64_t, std::uint64_t> holes_;
};

}  // namespace bulkhead::ext4
