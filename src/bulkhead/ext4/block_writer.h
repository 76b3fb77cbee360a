#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {

/// Joins writes, and copies, that follow each other on the device. What is written twice must be
/// flushed between.
class BlockWriter {
 public:
  explicit BlockWriter(Device& device) : device_(&device) {}

  /// `offset` is a multiple of the block size; a short last block reads as zeros behind its data.
  Result<> write(std::uint64_t offset, Bytes data);

  /// The same with blocks of another file, which must stay open until flush().
  Result<> copy(std::uint64_t offset, const os::FileRange& from);

  Result<> flush();

  /// Forgets nothing: flushes, then makes the range zeros on the device.
  Result<> discard(std::uint64_t offset, std::uint64_t length);

 private:
  Result<> flush_buffer();
  Result<> flush_copy();

  Device* device_;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_offset_ = 0;
  os::FileRange copy_;
  std::uint64_t copy_offset_ = 0;
};

}  // namespace bulkhead::ext4
