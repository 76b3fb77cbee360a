#include "bulkhead/runtime/log_reader.h"

#include <fcntl.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/log_format.h"

namespace bulkhead::runtime {
namespace {

/// A line is a text, its time and a few letters.
constexpr std::size_t kLargestLine = kLargestLogText + 256;

}  // namespace

/// False when there is none yet.
Result<bool> LogReader::open_first() {
  for (const std::string& path : {path_ + ".1", path_}) {
    auto file = os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (file) {
      inode_ = BH_TRY(os::file_info(file->get())).inode;
      file_ = *std::move(file);
      return true;
    }
    if (file.error().code() != ErrorCode::NotFound) {
      return std::move(file.error());
    }
  }
  return false;
}

Result<bool> LogReader::was_renamed() const {
  const auto current = os::file_info(path_);
  if (!current) {
    return current.error().code() == ErrorCode::NotFound ? Result<bool>(false) : current.error();
  }
  return current->inode != inode_;
}

Result<> LogReader::read_open_file(const Take& take) {
  std::array<std::byte, 65536> buffer{};
  while (true) {
    const std::size_t size = BH_TRY(os::read_some(file_.get(), buffer));
    if (size == 0) {
      return {};
    }
    std::string_view text = as_text(std::span(buffer).first(size));
    while (true) {
      const auto newline = text.find('\n');
      if (newline == std::string_view::npos) {
        // Longer than any line of ours: damage, of which the end is not kept either.
        if (unfinished_.size() < kLargestLine) {
          unfinished_ += text;
        }
        break;
      }
      std::string_view line = text.substr(0, newline);
      if (!unfinished_.empty()) {
        unfinished_ += line;
        line = unfinished_;
      }
      if (const auto parsed = parse_log_line(line)) {
        BH_TRY(take(*parsed));
      }
      unfinished_.clear();
      text.remove_prefix(newline + 1);
    }
  }
}

Result<> LogReader::read_available(const Take& take) {
  if (!file_.is_open() && !BH_TRY(open_first())) {
    return {};
  }
  while (true) {
    // Asked before reading to the end: what is renamed gets no more lines.
    const bool is_complete = BH_TRY(was_renamed());
    BH_TRY(read_open_file(take));
    if (!is_complete) {
      return {};
    }
    auto next = os::open_file(path_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!next) {
      return next.error().code() == ErrorCode::NotFound ? Result<>() : next.error();
    }
    inode_ = BH_TRY(os::file_info(next->get())).inode;
    file_ = *std::move(next);
    unfinished_.clear();
  }
}

}  // namespace bulkhead::runtime
