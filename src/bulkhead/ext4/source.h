#pragma once

#include <cstdint>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::ext4 {

/// What an image is read from.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  /// Fills `buffer`. Errors: Corrupt beyond the end; Io.
  virtual Result<> read(std::uint64_t offset, MutableBytes buffer) = 0;

  [[nodiscard]] virtual std::uint64_t size() const = 0;
};

/// A file, borrowed, of the size that it has now.
class FileSource final : public Source {
 public:
  FileSource(int fd, std::uint64_t size) : fd_(fd), size_(size) {}

  Result<> read(std::uint64_t offset, MutableBytes buffer) override;

  [[nodiscard]] std::uint64_t size() const override { return size_; }

 private:
  int fd_;
  std::uint64_t size_;
};

/// Memory, borrowed: for tests.
class MemorySource final : public Source {
 public:
  explicit MemorySource(Bytes content) : content_(content) {}

  Result<> read(std::uint64_t offset, MutableBytes buffer) override;

  [[nodiscard]] std::uint64_t size() const override { return content_.size(); }

 private:
  Bytes content_;
};

}  // namespace bulkhead::ext4
