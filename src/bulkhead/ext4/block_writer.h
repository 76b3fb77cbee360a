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
  BlockWriter(Device& device, std::uint32_t block_size)
      : device_(&device), block_size_(block_size) {}

  [[nodiscard]] std::uint32_t block_size() const { return block_size_; }

  /// From the beginning of `block` on; a short last block reads as zeros behind its data.
  Result<> write(std::uint64_t block, Bytes data);

  /// The same with blocks of another file, which must stay open until flush().
  Result<> copy(std::uint64_t block, const os::FileRange& from);

  Result<> flush();

 private:
  Result<> flush_buffer();
  Result<> flush_copy();

  Device* device_;
  std::uint32_t block_size_;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_offset_ = 0;
  os::FileRange copy_;
  std::uint64_t copy_offset_ = 0;
};

}  // namespace bulkhead::ext4
