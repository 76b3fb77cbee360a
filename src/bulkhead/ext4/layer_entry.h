#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"

namespace bulkhead::ext4 {

enum class LayerAction : std::uint8_t {
  File = 1,
  Directory,
  Symlink,
  HardLink,
  CharacterDevice,
  BlockDevice,
  Fifo,
  Socket,
  WhiteOut,          ///< what lower layers made of `path`
  WhiteOutChildren,  ///< what lower layers made in `path`
};

/// One step of applying a layer: what a member of its tar comes to. Borrows what it names.
struct LayerEntry {
  LayerAction action = LayerAction::File;
  std::string_view path;
  std::string_view link;  ///< of a symbolic link, the target as it stands; of a hard link, a path
  Attributes attributes;  ///< not of hard links and whiteouts
  DeviceNumber device;
  std::uint64_t size = 0;  ///< of a file
  std::span<const Xattr> xattrs;
};

/// Takes the step. A file is only begun: its content and end_file() follow.
Result<> apply_entry(Formatter& formatter, const LayerEntry& entry);

}  // namespace bulkhead::ext4
