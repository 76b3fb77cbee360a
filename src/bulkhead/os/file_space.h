#pragma once

#include <cstdint>
#include <optional>

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

struct DataRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// The first range at or after `from` that is no hole; nothing when there is none. The
/// descriptor's own offset stays.
Result<std::optional<DataRange>> next_data(int fd, std::uint64_t from);

}  // namespace bulkhead::os
