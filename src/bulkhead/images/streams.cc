#include "bulkhead/images/streams.h"

#include <array>
#include <cstddef>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"

namespace bulkhead::images {

Result<Bytes> SourceReader::next() {
  const std::size_t count = BH_TRY(blob_->read(buffer_));
  return Bytes(buffer_).first(count);
}

Result<std::size_t> FdBlobReader::read(MutableBytes buffer) {
  const std::size_t count = BH_TRY(os::pread_some(fd_.get(), buffer, offset_));
  offset_ += count;
  return count;
}

Result<Bytes> BoundedReader::next() {
  const Bytes piece = BH_TRY(source_.next());
  if (piece.size() > left_) {
    return fail(ErrorCode::Corrupt, "it is longer than the {} bytes that its descriptor promises",
                size_);
  }
  left_ -= piece.size();
  return piece;
}

Result<Bytes> KeepingReader::next() {
  const Bytes piece = BH_TRY(source_.next());
  if (blob_ != nullptr && !piece.empty()) {
    BH_TRY(blob_->write(piece));
  }
  return piece;
}

Result<Bytes> PaddingReader::next() {
  static constexpr std::array<std::byte, kBlockBytes> kZeros{};
  Bytes piece = BH_TRY(source_.next());
  if (piece.empty()) {
    piece = Bytes(kZeros).first((kBlockBytes - bytes_read_ % kBlockBytes) % kBlockBytes);
  }
  bytes_read_ += piece.size();
  return piece;
}

Result<Bytes> PeekingReader::peek(std::size_t size) {
  while (beginning_.size() < size) {
    const Bytes piece = BH_TRY(source_.next());
    if (piece.empty()) {
      break;
    }
    beginning_.insert(beginning_.end(), piece.begin(), piece.end());
  }
  return Bytes(beginning_);
}

Result<Bytes> PeekingReader::next() {
  if (!std::exchange(is_passed_, true) && !beginning_.empty()) {
    return Bytes(beginning_);
  }
  return source_.next();
}

}  // namespace bulkhead::images
