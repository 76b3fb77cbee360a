#include "bulkhead/ext4/block_writer.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {
namespace {

// Small files are gathered up to this; larger pieces go to the device as they are.
constexpr std::size_t kBufferBytes = std::size_t{256} << 10U;
constexpr std::size_t kDirectBytes = std::size_t{64} << 10U;

}  // namespace

Result<> BlockWriter::write(std::uint64_t block, Bytes data) {
  if (data.empty()) {
    return {};
  }
  const std::uint64_t offset = block * block_size_;
  if (offset != buffer_offset_ + buffer_.size() || buffer_.size() + data.size() > kBufferBytes) {
    BH_TRY(flush_buffer());
  }
  if (buffer_.empty() && data.size() >= kDirectBytes && data.size() % block_size_ == 0) {
    return device_->write(offset, data);
  }
  if (buffer_.empty()) {
    buffer_.reserve(kBufferBytes);
    buffer_offset_ = offset;
  }
  buffer_.insert(buffer_.end(), data.begin(), data.end());
  buffer_.resize((buffer_.size() + block_size_ - 1) / block_size_ * block_size_);
  return {};
}

Result<> BlockWriter::copy(std::uint64_t block, const os::FileRange& from) {
  const std::uint64_t offset = block * block_size_;
  const bool continues = from.fd == copy_.fd && from.offset == copy_.offset + copy_.length &&
                         offset == copy_offset_ + copy_.length;
  if (!continues) {
    BH_TRY(flush_copy());
    copy_ = {.fd = from.fd, .offset = from.offset};
    copy_offset_ = offset;
  }
  copy_.length += from.length;
  return {};
}

Result<> BlockWriter::flush() {
  BH_TRY(flush_buffer());
  return flush_copy();
}

Result<> BlockWriter::flush_copy() { return device_->copy(copy_offset_, std::exchange(copy_, {})); }

Result<> BlockWriter::flush_buffer() {
  if (!buffer_.empty()) {
    BH_TRY(device_->write(buffer_offset_, buffer_));
    buffer_.clear();
  }
  return {};
}

}  // namespace bulkhead::ext4
