#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/os/io.h"

// Streams that compose without temporary files: download, hash, inflate, untar.
//
// A Reader is pulled. It hands out pieces of its own buffer instead of filling the caller's, so
// that a piece passes through the chain without being copied, and so that a reader whose pieces
// come from a queue (another thread inflates or downloads) fits the same interface.

namespace bulkhead::archive {

/// A stream of bytes that somebody pulls. One thread at a time.
class Reader {
 public:
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  virtual ~Reader() = default;

  /// The next piece, never empty before the end; empty at the end, and again after it. The piece is
  /// valid until the next call. After an error the stream is not usable.
  virtual Result<Bytes> next() = 0;
};

/// A stream of bytes that somebody fills.
class Writer {
 public:
  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  virtual ~Writer() = default;

  virtual Result<> write(Bytes data) = 0;
};

/// Reads memory that the caller keeps, in pieces of at most `piece` bytes.
class BytesReader final : public Reader {
 public:
  explicit BytesReader(Bytes data, std::size_t piece = SIZE_MAX) : rest_(data), piece_(piece) {}

  Result<Bytes> next() override;

 private:
  Bytes rest_;
  std::size_t piece_;
};

/// Reads a descriptor (file, pipe, socket; blocking) from where it stands. Borrows it.
class FdReader final : public Reader {
 public:
  explicit FdReader(int fd, std::size_t buffer_bytes = 256U << 10U)
      : fd_(fd), buffer_(buffer_bytes) {}

  Result<Bytes> next() override;

 private:
  int fd_;
  std::vector<std::byte> buffer_;
};

/// The same for a descriptor that may never have more, a pipe or a terminal: somebody else can end
/// the wait. Borrows it.
class InterruptibleReader final : public Reader {
 public:
  static Result<std::unique_ptr<InterruptibleReader>> create(int fd);

  /// Errors: Cancelled after interrupt().
  Result<Bytes> next() override;

  /// From any thread.
  void interrupt();

 private:
  InterruptibleReader(int fd, os::Pipe wakeup) : fd_(fd), reader_(fd), wakeup_(std::move(wakeup)) {}

  int fd_;
  FdReader reader_;
  os::Pipe wakeup_;
};

/// Passes `source` through, feeding every byte to `hasher` and counting it. Borrows both.
class HashingReader final : public Reader {
 public:
  HashingReader(Reader& source, hash::Hasher& hasher) : source_(source), hasher_(hasher) {}

  Result<Bytes> next() override;

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  Reader& source_;
  hash::Hasher& hasher_;
  std::uint64_t bytes_read_ = 0;
};

/// Writes to a descriptor (file, pipe, socket; blocking) where it stands. Borrows it.
class FdWriter final : public Writer {
 public:
  explicit FdWriter(int fd) : fd_(fd) {}

  Result<> write(Bytes data) override;

 private:
  int fd_;
};

/// Keeps what is written in memory. Errors: ResourceExhausted beyond `limit`.
class MemoryWriter final : public Writer {
 public:
  explicit MemoryWriter(std::size_t limit = SIZE_MAX) : limit_(limit) {}

  Result<> write(Bytes data) override;

  [[nodiscard]] const std::string& content() const { return content_; }

 private:
  std::size_t limit_;
  std::string content_;
};

/// Reads to the end and throws the bytes away. Returns how many there were.
Result<std::uint64_t> drain(Reader& reader);

/// Reads to the end. Errors: ResourceExhausted beyond `limit` bytes.
Result<std::string> read_all(Reader& reader, std::size_t limit);

/// Copies to the end. Returns the number of bytes.
Result<std::uint64_t> copy(Reader& reader, Writer& writer);

}  // namespace bulkhead::archive
