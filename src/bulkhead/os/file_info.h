#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// What stat says of a file; symbolic links are followed.
struct FileInfo {
  dev_t device = 0;  ///< that it lies on
  ino_t inode = 0;
  mode_t mode = 0;
  dev_t special = 0;  ///< that it is, when it is a device node
  std::uint64_t size = 0;
  std::int64_t modified_nanoseconds = 0;  ///< since the epoch

  [[nodiscard]] bool is_regular() const;
  [[nodiscard]] bool is_directory() const;
};

Result<FileInfo> file_info(const std::string& path);
Result<FileInfo> file_info(int fd);

/// The flags it was opened with: O_ACCMODE and the status flags.
Result<int> open_flags(int fd);

}  // namespace bulkhead::os
