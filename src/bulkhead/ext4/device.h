#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/copy_range.h"

namespace bulkhead::ext4 {

/// Where an image is written. What was never written reads as zeros.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual Result<> write(std::uint64_t offset, Bytes data) = 0;

  /// The same with what another file holds.
  virtual Result<> copy(std::uint64_t offset, const os::FileRange& from) = 0;

  /// Makes a written range read as zeros again and gives its space back where possible.
  virtual Result<> discard(std::uint64_t offset, std::uint64_t length) = 0;

  /// Sets the size.
  virtual Result<> resize(std::uint64_t size) = 0;
};

/// A file, borrowed. It must be empty, or read as zeros wherever it is not.
class FileDevice final : public Device {
 public:
  explicit FileDevice(int fd) : fd_(fd) {}

  Result<> write(std::uint64_t offset, Bytes data) override;
  Result<> copy(std::uint64_t offset, const os::FileRange& from) override;
  Result<> discard(std::uint64_t offset, std::uint64_t length) override;
  Result<> resize(std::uint64_t size) override;

 private:
  int fd_;
};

/// Memory, for tests: only blocks that were written take any.
class MemoryDevice final : public Device {
 public:
  /// Errors of write(): NoSpace beyond `limit_bytes` of written blocks.
  explicit MemoryDevice(std::uint64_t limit_bytes = UINT64_MAX) : limit_bytes_(limit_bytes) {}

  Result<> write(std::uint64_t offset, Bytes data) override;
  Result<> copy(std::uint64_t offset, const os::FileRange& from) override;
  Result<> discard(std::uint64_t offset, std::uint64_t length) override;
  Result<> resize(std::uint64_t size) override;

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// `length` bytes from `offset`, zeros where nothing was written.
  [[nodiscard]] std::vector<std::byte> read(std::uint64_t offset, std::size_t length) const;

 private:
  static constexpr std::size_t kPage = 4096;

  std::uint64_t limit_bytes_;
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::vector<std::byte>> pages_;
};

}  // namespace bulkhead::ext4
