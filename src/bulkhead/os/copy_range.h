#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// A part of a file, which is borrowed.
struct FileRange {
  int fd = -1;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Copies a range of one file into another: inside the kernel, sharing blocks where the file system
/// can; by way of memory where the kernel cannot. The two do not overlap.
/// Errors: Corrupt when the source ends before.
Result<> copy_range(const FileRange& from, int to, std::uint64_t offset);

}  // namespace bulkhead::os
