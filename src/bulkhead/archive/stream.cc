#include "bulkhead/archive/stream.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"

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

Result<std::unique_ptr<InterruptibleReader>> InterruptibleReader::create(int fd) {
  os::Pipe wakeup = BH_TRY(os::make_pipe(O_NONBLOCK));
  return std::unique_ptr<InterruptibleReader>(new InterruptibleReader(fd, std::move(wakeup)));
}

Result<Bytes> InterruptibleReader::next() {
  if (!BH_TRY(os::wait_readable_before(fd_, wakeup_.read_end.get()))) {
    return fail(ErrorCode::Cancelled, "cancelled");
  }
  return reader_.next();
}

void InterruptibleReader::interrupt() {
  // What can go wrong is that it is full: then it was interrupted before.
  std::ignore = os::write_some(wakeup_.write_end.get(), as_bytes("x"));
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
