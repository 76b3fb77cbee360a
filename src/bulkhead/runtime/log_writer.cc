#include "bulkhead/runtime/log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/log_format.h"

namespace bulkhead::runtime {
namespace {

struct OpenLog {
  os::UniqueFd fd;
  std::uint64_t size;
};

Result<OpenLog> open_log(const std::string& path) {
  // O_NONBLOCK: a FIFO of that name must not hang the shim.
  os::UniqueFd fd =
      BH_TRY(os::open_file(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640));
  const os::FileInfo info = BH_TRY(os::file_info(fd.get()));
  if (!info.is_regular()) {
    return fail(ErrorCode::Invalid, "log {}: not a regular file", path);
  }
  return OpenLog{.fd = std::move(fd), .size = info.size};
}

}  // namespace

Result<LogWriter> LogWriter::open(std::string path, LogLimits limits) {
  OpenLog opened = BH_TRY(open_log(path).context("log"));
  return LogWriter(std::move(path), std::move(opened.fd), opened.size, limits);
}

void LogWriter::put(std::string_view time, OutputStream stream, bool partial,
                    std::string_view text) {
  append_log_line(out_, time, stream, partial, text);
}

/// Cuts what is too long for one line into partial ones.
void LogWriter::put_long(std::string_view time, OutputStream stream, bool ended,
                         std::string_view text) {
  while (text.size() > kLargestLogText) {
    put(time, stream, true, text.substr(0, kLargestLogText));
    text.remove_prefix(kLargestLogText);
  }
  put(time, stream, !ended, text);
}

void LogWriter::write(OutputStream stream, Bytes data, WallTime now) {
  Unfinished& unfinished = unfinished_.at(static_cast<std::size_t>(stream));
  std::string_view text = as_text(data);
  const std::string time = format_rfc3339(now);
  while (!text.empty()) {
    const auto newline = text.find('\n');
    const std::string_view piece = text.substr(0, newline);
    if (newline == std::string_view::npos) {
      if (unfinished.text.empty()) {
        unfinished.time = now;
      }
      unfinished.text += piece;
      if (unfinished.text.size() >= kLargestLogText) {
        put_long(format_rfc3339(unfinished.time), stream, false, unfinished.text);
        unfinished.text.clear();
      }
      break;
    }
    if (unfinished.text.empty()) {
      put_long(time, stream, true, piece);
    } else {
      unfinished.text += piece;
      put_long(format_rfc3339(unfinished.time), stream, true, unfinished.text);
      unfinished.text.clear();
    }
    text.remove_prefix(newline + 1);
  }
  write_out();
}

void LogWriter::flush() {
  for (const OutputStream stream : {OutputStream::Stdout, OutputStream::Stderr}) {
    Unfinished& unfinished = unfinished_.at(static_cast<std::size_t>(stream));
    if (!unfinished.text.empty()) {
      put(format_rfc3339(unfinished.time), stream, true, unfinished.text);
      unfinished.text.clear();
    }
  }
  write_out();
}

bool LogWriter::has_unfinished_line() const {
  return std::ranges::any_of(unfinished_, [](const Unfinished& one) { return !one.text.empty(); });
}

void LogWriter::drop(std::size_t bytes, const Error& cause) {
  dropped_bytes_ += bytes;
  if (!warned_) {
    warned_ = true;
    log::warning("log {}: output is dropped: {}", path_, cause.message());
  }
}

void LogWriter::rotate() {
  if (auto renamed = os::rename_path(path_, path_ + ".1"); !renamed) {
    log::warning("rotate log: {}", renamed.error().message());
    size_ = 0;  // try again after as much again
    return;
  }
  auto opened = open_log(path_);
  if (!opened) {
    // Keep on writing to the renamed file rather than lose lines.
    log::warning("rotate log: {}", opened.error().message());
    size_ = 0;
    return;
  }
  fd_ = std::move(opened->fd);
  size_ = opened->size;
  torn_ = false;
}

void LogWriter::write_out() {
  if (out_.empty()) {
    return;
  }
  if (size_ + out_.size() > limits_.largest_file && size_ != 0) {
    rotate();
  }
  if (torn_) {
    out_.insert(out_.begin(), '\n');
  }
  Bytes rest = as_bytes(out_);
  while (!rest.empty()) {
    const auto written = os::write_some(fd_.get(), rest);
    if (!written) {
      drop(rest.size(), written.error());
      break;
    }
    size_ += *written;
    rest = rest.subspan(*written);
  }
  // Nothing written at all leaves the file as it was.
  if (rest.size() != out_.size()) {
    torn_ = !rest.empty();
  }
  out_.clear();
  if (out_.capacity() > (1U << 20U)) {
    out_.shrink_to_fit();
  }
}

}  // namespace bulkhead::runtime
