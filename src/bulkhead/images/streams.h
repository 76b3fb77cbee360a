#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"

// Links of the chain source → size check → hash and keep → inflate → hash → tar → ext4.

namespace bulkhead::images {

/// A blob of a source as a stream.
class SourceReader final : public archive::Reader {
 public:
  explicit SourceReader(std::unique_ptr<oci::BlobReader> blob)
      : blob_(std::move(blob)), buffer_(kBufferBytes) {}

  Result<Bytes> next() override;

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{128} << 10U;

  std::unique_ptr<oci::BlobReader> blob_;
  std::vector<std::byte> buffer_;
};

/// A file of the store as a stream. Owns the descriptor.
class FileReader final : public archive::Reader {
 public:
  explicit FileReader(os::UniqueFd fd) : fd_(std::move(fd)), reader_(fd_.get()) {}

  Result<Bytes> next() override { return reader_.next(); }

 private:
  os::UniqueFd fd_;
  archive::FdReader reader_;
};

/// A file from an offset on as a blob of a source. Owns the descriptor.
class FdBlobReader final : public oci::BlobReader {
 public:
  explicit FdBlobReader(os::UniqueFd fd, std::uint64_t offset = 0)
      : fd_(std::move(fd)), offset_(offset) {}

  Result<std::size_t> read(MutableBytes buffer) override;

 private:
  os::UniqueFd fd_;
  std::uint64_t offset_;
};

/// Ends with Corrupt at the first byte beyond `size`, so that a source cannot fill the disk with
/// more than was promised. A stream that is too short is the caller's to find. Borrows the source.
class BoundedReader final : public archive::Reader {
 public:
  BoundedReader(archive::Reader& source, std::uint64_t size)
      : source_(source), size_(size), left_(size) {}

  Result<Bytes> next() override;

 private:
  archive::Reader& source_;
  std::uint64_t size_;
  std::uint64_t left_;
};

/// Writes what passes through into a blob. Borrows both; without a blob it only passes through.
class KeepingReader final : public archive::Reader {
 public:
  KeepingReader(archive::Reader& source, store::BlobWriter* blob) : source_(source), blob_(blob) {}

  Result<Bytes> next() override;

 private:
  archive::Reader& source_;
  store::BlobWriter* blob_;
};

/// Fills the last block of a tar stream up with zeros. umoci 0.4.7 (`insert`) and others that
/// forget to close their tar leave out the end of it; Go's reader, and so docker and containerd, do
/// not mind. Only for streams whose digest is checked, where nothing can be cut off. Borrows the
/// source.
class PaddingReader final : public archive::Reader {
 public:
  explicit PaddingReader(archive::Reader& source) : source_(source) {}

  Result<Bytes> next() override;

 private:
  static constexpr std::size_t kBlockBytes = 512;

  archive::Reader& source_;
  std::uint64_t bytes_read_ = 0;
};

/// Looks at the beginning of a stream without taking it away. Borrows the source.
class PeekingReader final : public archive::Reader {
 public:
  explicit PeekingReader(archive::Reader& source) : source_(source) {}

  /// At least `size` bytes, fewer only when the stream has no more. Only before the first next().
  Result<Bytes> peek(std::size_t size);

  Result<Bytes> next() override;

 private:
  archive::Reader& source_;
  std::vector<std::byte> beginning_;
  bool is_passed_ = false;
};

}  // namespace bulkhead::images
