#include "bulkhead/ext4/device.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/copy_range.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"

namespace bulkhead::ext4 {

Result<> FileDevice::write(std::uint64_t offset, Bytes data) {
  return os::pwrite_all(fd_, data, offset);
}

Result<> FileDevice::copy(std::uint64_t offset, const os::FileRange& from) {
  return os::copy_range(from, fd_, offset);
}

Result<> FileDevice::discard(std::uint64_t offset, std::uint64_t length) {
  return os::zero_range(fd_, offset, length);
}

Result<> FileDevice::resize(std::uint64_t size) { return os::set_file_size(fd_, size); }

Result<> MemoryDevice::write(std::uint64_t offset, Bytes data) {
  while (!data.empty()) {
    const std::uint64_t page = offset / kPage;
    const auto within = static_cast<std::size_t>(offset % kPage);
    const std::size_t size = std::min(data.size(), kPage - within);
    std::vector<std::byte>& content = pages_[page];
    if (content.empty()) {
      if (pages_.size() * kPage > limit_bytes_) {
        return fail(ErrorCode::NoSpace, "write: the device is full");
      }
      content.resize(kPage);
    }
    std::memcpy(content.data() + within, data.data(), size);
    data = data.subspan(size);
    offset += size;
    size_ = std::max(size_, offset);
  }
  return {};
}

Result<> MemoryDevice::copy(std::uint64_t offset, const os::FileRange& from) {
  std::vector<std::byte> buffer(kPage);
  for (std::uint64_t at = 0; at < from.length;) {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), from.length - at));
    BH_TRY(os::pread_exactly(from.fd, MutableBytes(buffer).first(size), from.offset + at));
    BH_TRY(write(offset + at, Bytes(buffer).first(size)));
    at += size;
  }
  return {};
}

Result<> MemoryDevice::discard(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  for (auto page = pages_.lower_bound(offset / kPage);
       page != pages_.end() && page->first * kPage < end;) {
    const std::uint64_t start = page->first * kPage;
    if (start >= offset && start + kPage <= end) {
      page = pages_.erase(page);
      continue;
    }
    const auto from = static_cast<std::size_t>(std::max(offset, start) - start);
    const auto to = static_cast<std::size_t>(std::min(end, start + kPage) - start);
    std::ranges::fill(std::span(page->second).subspan(from, to - from), std::byte{0});
    ++page;
  }
  return {};
}

Result<> MemoryDevice::resize(std::uint64_t size) {
  size_ = size;
  pages_.erase(pages_.lower_bound((size + kPage - 1) / kPage), pages_.end());
  return {};
}

std::vector<std::byte> MemoryDevice::read(std::uint64_t offset, std::size_t length) const {
  std::vector<std::byte> data(length);
  for (std::size_t at = 0; at < length;) {
    const std::uint64_t position = offset + at;
    const auto within = static_cast<std::size_t>(position % kPage);
    const std::size_t size = std::min(length - at, kPage - within);
    if (const auto page = pages_.find(position / kPage); page != pages_.end()) {
      std::memcpy(data.data() + at, page->second.data() + within, size);
    }
    at += size;
  }
  return data;
}

}  // namespace bulkhead::ext4
