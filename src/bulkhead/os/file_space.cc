#include "bulkhead/os/file_space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/retry.h"

namespace bulkhead::os {

Result<> set_file_size(int fd, std::uint64_t size) {
  if (retry_eintr([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) != 0) {
    return Error::from_errno("set file size");
  }
  return {};
}

Result<> zero_range(int fd, std::uint64_t offset, std::uint64_t length) {
  if (length == 0) {
    return {};
  }
  if (retry_eintr([&] {
        return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(length));
      }) == 0) {
    return {};
  }
  if (errno != EOPNOTSUPP) {
    return Error::from_errno("punch hole");
  }
  const std::uint64_t size = BH_TRY(file_space(fd)).size;
  const std::uint64_t end = std::min(offset + length, size);
  static constexpr std::array<std::byte, 65536> kZeros{};
  while (offset < end) {
    const auto step =
        static_cast<std::size_t>(std::min<std::uint64_t>(kZeros.size(), end - offset));
    BH_TRY(pwrite_all(fd, std::span(kZeros).first(step), offset));
    offset += step;
  }
  return {};
}

Result<FileSpace> file_space(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    return Error::from_errno("stat");
  }
  return FileSpace{.size = static_cast<std::uint64_t>(info.st_size),
                   .allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * 512};
}

Result<std::optional<DataRange>> next_data(int fd, std::uint64_t from) {
  const off_t offset = ::lseek(fd, 0, SEEK_CUR);
  const off_t begin = ::lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  if (begin < 0) {
    if (errno == ENXIO) {
      return std::nullopt;
    }
    return Error::from_errno("find data");
  }
  const off_t end = ::lseek(fd, begin, SEEK_HOLE);
  if (end < 0 && errno == ENXIO) {
    return std::nullopt;  // the file was cut in between
  }
  if (end < 0 || ::lseek(fd, offset, SEEK_SET) < 0) {
    return Error::from_errno("find hole");
  }
  return DataRange{.offset = static_cast<std::uint64_t>(begin),
                   .length = static_cast<std::uint64_t>(end - begin)};
}

}  // namespace bulkhead::os
