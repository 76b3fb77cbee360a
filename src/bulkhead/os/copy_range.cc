#include "bulkhead/os/copy_range.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/retry.h"

namespace bulkhead::os {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10U;

/// Other file systems, kinds of files, or a kernel that does not know the call.
bool is_unsupported(int error) {
  return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

Result<> copy_by_memory(FileRange from, int to, std::uint64_t offset) {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, from.length)));
  while (from.length > 0) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), from.length));
    BH_TRY(pread_exactly(from.fd, MutableBytes(buffer).first(size), from.offset));
    BH_TRY(pwrite_all(to, Bytes(buffer).first(size), offset));
    from.offset += size;
    from.length -= size;
    offset += size;
  }
  return {};
}

}  // namespace

Result<> copy_range(const FileRange& from, int to, std::uint64_t offset) {
  FileRange rest = from;
  auto from_offset = static_cast<off_t>(from.offset);
  auto to_offset = static_cast<off_t>(offset);
  while (rest.length > 0) {
    const ssize_t count = retry_eintr([&] {
      return ::copy_file_range(rest.fd, &from_offset, to, &to_offset,
                               static_cast<std::size_t>(rest.length), 0);
    });
    if (count < 0 && is_unsupported(errno)) {
      return copy_by_memory(rest, to, static_cast<std::uint64_t>(to_offset));
    }
    if (count < 0) {
      return Error::from_errno("copy");
    }
    if (count == 0) {
      return fail(ErrorCode::Corrupt, "copy: the file ends {} bytes early", rest.length);
    }
    rest.offset += static_cast<std::uint64_t>(count);
    rest.length -= static_cast<std::uint64_t>(count);
  }
  return {};
}

}  // namespace bulkhead::os
