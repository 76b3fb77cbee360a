#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_layout.h"

namespace bulkhead::ext4 {

/// An inode as it was read.
struct Inode {
  std::uint32_t number = 0;
  std::uint16_t mode = 0;  ///< type and permissions
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t links = 0;
  std::uint64_t size = 0;
  Timestamp modified;
  Timestamp accessed;
  Timestamp changed;
  std::optional<Timestamp> created;
  DeviceNumber device;  ///< of devices

  // What the reader alone needs.
  std::uint32_t flags = 0;
  std::uint64_t sectors = 0;  ///< or blocks; 0 means that nothing is allocated
  std::uint64_t xattr_block = 0;
  std::uint32_t seed = 0;               ///< of the checksums of its blocks
  std::array<std::byte, 60> content{};  ///< i_block
  std::vector<std::byte> xattrs;        ///< what is behind the fixed fields

  [[nodiscard]] std::uint16_t type() const;
  [[nodiscard]] bool is_directory() const;
  [[nodiscard]] bool is_file() const;
  [[nodiscard]] bool is_symlink() const;
};

/// Corrupt. `block` 0: what the inode itself holds.
Error corrupt_at(std::uint32_t inode, std::uint64_t block, std::string_view what);

/// Errors: Corrupt, naming inode and block, for one that does not exist, is not in use or has a
/// wrong checksum; Io.
Result<Inode> read_inode(BlockReader& blocks, const Layout& layout, std::uint32_t number);

}  // namespace bulkhead::ext4
