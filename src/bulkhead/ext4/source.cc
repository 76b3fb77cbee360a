#include "bulkhead/ext4/source.h"

#include <cstdint>
#include <cstring>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"

namespace bulkhead::ext4 {

Result<> FileSource::read(std::uint64_t offset, MutableBytes buffer) {
  return os::pread_exactly(fd_, buffer, offset);
}

Result<> MemorySource::read(std::uint64_t offset, MutableBytes buffer) {
  if (offset > content_.size() || buffer.size() > content_.size() - offset) {
    return fail(ErrorCode::Corrupt, "read of {} bytes at {}: the image has {}", buffer.size(),
                offset, content_.size());
  }
  if (!buffer.empty()) {
    std::memcpy(buffer.data(), content_.data() + offset, buffer.size());
  }
  return {};
}

}  // namespace bulkhead::ext4
