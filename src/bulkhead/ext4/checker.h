#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader.h"

namespace bulkhead::ext4 {

struct CheckResult {
  std::uint64_t entries = 0;
  std::uint64_t content_bytes = 0;
};

/// Reads all of an image: the descriptors and bitmaps of all groups against their checksums, every
/// name, inode, attribute and block of contents. It is no fsck: what no name leads to is not looked
/// at. Errors: Corrupt for the first thing that is wrong; Io.
Result<CheckResult> check_image(Image& image);

}  // namespace bulkhead::ext4
