#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/log_format.h"

namespace bulkhead::runtime {

struct LogLimits {
  /// A file that would grow beyond this is renamed to "<path>.1" and a new one begun; the one that
  /// had that name is lost. So a log takes at most twice this.
  std::uint64_t largest_file = 512U << 20U;
};

/// Writes what a container's first process puts out, line by line, as docs/formats/log.md has it.
/// A disk that is full or fails never stops the container: what cannot be written is dropped, with
/// one warning in the shim's own log.
class LogWriter {
 public:
  /// Appends to what is there.
  /// Errors: Invalid when `path` is not a regular file; Io, NotFound, … from opening it.
  static Result<LogWriter> open(std::string path, LogLimits limits = {});

  /// Takes the bytes as they come. An unfinished line is kept until it ends, is too long or
  /// flush() is called.
  void write(OutputStream stream, Bytes data, WallTime now);

  /// Writes unfinished lines as partial ones.
  void flush();

  /// Whether flush() has something to write.
  [[nodiscard]] bool has_unfinished_line() const;

  [[nodiscard]] std::uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  struct Unfinished {
    std::string text;
    WallTime time;
  };

  LogWriter(std::string path, os::UniqueFd fd, std::uint64_t size, LogLimits limits)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size), limits_(limits) {}

  void put(std::string_view time, OutputStream stream, bool partial, std::string_view text);
  void put_long(std::string_view time, OutputStream stream, bool ended, std::string_view text);
  void write_out();
  void rotate();
  void drop(std::size_t bytes, const Error& cause);

  std::string path_;
  os::UniqueFd fd_;
  std::uint64_t size_;
  LogLimits limits_;
  std::array<Unfinished, 2> unfinished_;
  std::string out_;
  bool torn_ = false;  ///< the file ends in the middle of a line
  bool warned_ = false;
  std::uint64_t dropped_bytes_ = 0;
};

}  // namespace bulkhead::runtime
