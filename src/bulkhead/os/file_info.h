#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

struct FileTime {
  std::int64_t seconds = 0;  ///< since the epoch
  std::uint32_t nanoseconds = 0;

  bool operator==(const FileTime&) const = default;
};

/// What stat says of a file.
struct FileInfo {
  dev_t device = 0;  ///< that it lies on
  ino_t inode = 0;
  mode_t mode = 0;
  nlink_t links = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t special = 0;  ///< that it is, when it is a device node
  std::uint64_t size = 0;
  FileTime modified;

  /// Of the mode: S_IFREG and its kin.
  [[nodiscard]] mode_t type() const;
  [[nodiscard]] bool is_regular() const;
  [[nodiscard]] bool is_directory() const;

  /// Since the epoch, for times from 1677 to 2262.
  [[nodiscard]] std::int64_t modified_nanoseconds() const;
};

/// Symbolic links are followed.
Result<FileInfo> file_info(const std::string& path);

/// Of what the descriptor is open on, which with O_PATH and O_NOFOLLOW may be a symbolic link.
Result<FileInfo> file_info(int fd);

/// The flags it was opened with: O_ACCMODE and the status flags.
Result<int> open_flags(int fd);

}  // namespace bulkhead::os
