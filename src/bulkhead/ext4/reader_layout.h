#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader_blocks.h"

namespace bulkhead::ext4 {

/// What a superblock says, checked: nothing in it exceeds the image.
struct Layout {
  std::uint32_t block_size = 0;
  std::uint64_t blocks = 0;
  std::uint32_t first_block = 0;  ///< of group 0
  std::uint32_t blocks_per_group = 0;
  std::uint32_t groups = 0;
  std::uint32_t inodes = 0;
  std::uint32_t inodes_per_group = 0;
  std::uint32_t first_inode = 0;  ///< below: reserved
  std::uint32_t inode_size = 0;
  std::uint32_t descriptor_size = 0;
  std::uint32_t first_meta_group = 0;
  std::array<std::uint32_t, 2> backup_groups{};
  std::uint32_t compat = 0;
  std::uint32_t incompat = 0;
  std::uint32_t ro_compat = 0;
  std::uint32_t journal_inode = 0;
  std::uint32_t seed = 0;  ///< of all checksums
  Uuid uuid{};
  std::string label;

  [[nodiscard]] bool has_checksums() const;

  /// Whether a group has a copy of the superblock.
  [[nodiscard]] bool has_superblock(std::uint32_t group) const;

  /// The block that begins with the descriptor of the first of a block's worth of groups.
  [[nodiscard]] std::uint64_t descriptor_block(std::uint32_t group) const;
};

/// `super` is the superblock's 1024 bytes. Errors: Invalid for what is not ext4; Unsupported for
/// features that change how files are read and that are not read here; Corrupt.
Result<Layout> parse_superblock(Bytes super, std::uint64_t image_bytes);

/// Where a group has what.
struct Group {
  std::uint64_t block_bitmap = 0;
  std::uint64_t inode_bitmap = 0;
  std::uint64_t inode_table = 0;
  std::uint32_t block_bitmap_checksum = 0;
  std::uint32_t inode_bitmap_checksum = 0;
  std::uint16_t flags = 0;
};

/// Errors: Corrupt for a wrong checksum or blocks that do not exist; Io.
Result<Group> read_group(BlockReader& blocks, const Layout& layout, std::uint32_t group);

}  // namespace bulkhead::ext4
