#include "bulkhead/os/file_info.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::os {
namespace {

FileInfo from_stat(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .mode = info.st_mode,
          .links = info.st_nlink,
          .uid = info.st_uid,
          .gid = info.st_gid,
          .special = info.st_rdev,
          .size = static_cast<std::uint64_t>(info.st_size),
          .modified = {.seconds = info.st_mtim.tv_sec,
                       .nanoseconds = static_cast<std::uint32_t>(info.st_mtim.tv_nsec)}};
}

}  // namespace

mode_t FileInfo::type() const { return mode & S_IFMT; }

bool FileInfo::is_regular() const { return S_ISREG(mode); }

bool FileInfo::is_directory() const { return S_ISDIR(mode); }

std::int64_t FileInfo::modified_nanoseconds() const {
  return (modified.seconds * 1'000'000'000) + modified.nanoseconds;
}

Result<FileInfo> file_info(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return Error::from_errno(path);
  }
  return from_stat(info);
}

Result<FileInfo> file_info(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    return Error::from_errno("fstat");
  }
  return from_stat(info);
}

Result<int> open_flags(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) {
    return Error::from_errno("fcntl");
  }
  return flags;
}

}  // namespace bulkhead::os
