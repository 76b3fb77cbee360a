#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/log_format.h"

namespace bulkhead::runtime {

/// Reads a container's log from its oldest line on, across the file that a full one was renamed to,
/// and goes on where it stopped when it is called again: for `logs` and `logs -f`.
class LogReader {
 public:
  using Take = std::function<Result<>(const LogLine&)>;

  /// Nothing is opened yet: a log that does not exist yet is an empty one.
  explicit LogReader(std::string path) : path_(std::move(path)) {}

  /// Hands over every whole line that is there now; what is no log line is passed over.
  /// Errors: Io, and those of `take`.
  Result<> read_available(const Take& take);

 private:
  Result<bool> open_first();
  Result<> read_open_file(const Take& take);
  Result<bool> was_renamed() const;

  std::string path_;
  os::UniqueFd file_;
  std::uint64_t inode_ = 0;
  std::string unfinished_;
};

}  // namespace bulkhead::runtime
