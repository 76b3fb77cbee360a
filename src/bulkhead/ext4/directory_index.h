#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/directory_blocks.h"

// The hash tree of a large directory: a root and at most one level of nodes over leaves, which are
// ordinary directory blocks with their entries in order of hash.

namespace bulkhead::ext4 {

struct NameHash {
  std::uint32_t major = 0;  ///< its lowest bit is 0
  std::uint32_t minor = 0;

  auto operator<=>(const NameHash&) const = default;
};

using HashSeed = std::array<std::byte, 16>;

/// The half MD4 hash of a name, of signed characters.
NameHash hash_name(std::string_view name, const HashSeed& seed);

/// An entry of a directory on its way to the disk.
struct NamedInode {
  std::string_view name;
  std::uint32_t inode = 0;
  std::uint8_t type = 0;
};

/// Writes a directory with its index; false, and nothing written, when the tree would be too deep.
/// `self` and `parent` are inode numbers. Errors: NoSpace, Io.
Result<bool> write_indexed(std::uint32_t self, std::uint32_t parent,
                           std::span<const NamedInode> entries, const HashSeed& seed,
                           DirectoryBlocks& blocks);

}  // namespace bulkhead::ext4
