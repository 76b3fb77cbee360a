#include "bulkhead/archive/stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"

namespace bulkhead::archive {

Result<Bytes> BytesReader::next() {
  const Bytes piece = rest_.first(std::min(piece_, rest_.size()));
  rest_ = rest_.subspan(piece.size());
  return piece;
}

Result<Bytes> FdReader::next() {
  const std::size_t n = BH_TRY(os::read_some(fd_, buffer_));
  return Bytes(buffer_).first(n);
}

Result<Bytes> HashingReader::next() {
  const Bytes piece = BH_TRY(source_.next());
  hasher_.update(piece);
  bytes_read_ += piece.size();
  return piece;
}

Result<> FdWriter::write(Bytes data) { return os::write_all(fd_, data); }

Result<> MemoryWriter::write(Bytes data) {
  if (data.size() > limit_ - content_.size()) {
    return fail(ErrorCode::ResourceExhausted, "write: more than {} bytes", limit_);
  }
  content_ += as_text(data);
  return {};
}

Result<std::uint64_t> drain(Reader& reader) {
  std::uint64_t total = 0;
  while (true) {
    const Bytes piece = BH_TRY(reader.next());
    if (piece.empty()) {
      return total;
    }
    total += piece.size();
  }
}

Result<std::string> read_all(Reader& reader, std::size_t limit) {
  std::string content;
  while (true) {
    const Bytes piece = BH_TRY(reader.next());
    if (piece.empty()) {
      return content;
    }
    if (piece.size() > limit - content.size()) {
      return fail(ErrorCode::ResourceExhausted, "read: more than {} bytes", limit);
    }
    content += as_text(piece);
  }
}

Result<std::uint64_t> copy(Reader& reader, Writer& writer) {
  std::uint64_t total = 0;
  while (true) {
    const Bytes piece = BH_TRY(reader.next());
    if (piece.empty()) {
      return total;
    }
    BH_TRY(writer.write(piece));
    total += piece.size();
  }
}

}  // namespace bulkhead::archive
