#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Cuts a file, or makes it longer by a hole.
Result<> set_file_size(int fd, std::uint64_t size);

/// Makes a range of a file read as zeros, by a hole where the file system can, otherwise by
/// writing. The file's size stays.
Result<> zero_range(int fd, std::uint64_t offset, std::uint64_t length);

struct FileSpace {
  std::uint64_t size = 0;
  std::uint64_t allocated_bytes = 0;  ///< less than the size for a sparse file
};

Result<FileSpace> file_space(int fd);

}  // namespace bulkhead::os
