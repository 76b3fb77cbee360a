#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// Errors: NotFound, ResourceExhausted beyond `limit` bytes, Io.
Result<std::string> read_file(const std::string& path, std::size_t limit = 16U << 20U);

/// Whole or not at all, even across a power cut: temporary beside it, fsync, rename, fsync of the
/// directory.
Result<> write_file_atomically(const std::string& path, std::string_view content,
                               mode_t mode = 0644);

/// One write to a file that is there: a setting of the kernel's in /proc or /sys.
Result<> write_setting(const std::string& path, std::string_view value);

/// Makes the directory and its parents; an existing one is fine.
Result<> make_directories(const std::string& path, mode_t mode = 0755);

/// Removes a tree without following symbolic links or crossing into mounts. An absent one is fine.
Result<> remove_tree(const std::string& path);

/// Removes a file; an absent one is fine.
Result<> remove_file(const std::string& path);

/// An empty one.
Result<> remove_directory(const std::string& path);

bool path_exists(const std::string& path);

Result<> rename_path(const std::string& from, const std::string& to);

Result<> sync_directory(const std::string& path);

/// Names in a directory without "." and "..", sorted.
Result<std::vector<std::string>> list_directory(const std::string& path);

Result<> make_fifo(const std::string& path, mode_t mode = 0600);

/// The target of a symbolic link.
Result<std::string> read_link(const std::string& path);

/// The directory that holds this program, without a trailing slash.
Result<std::string> program_directory();

/// An advisory lock on a file, held until destroyed or until the process ends, however it ends.
class FileLock {
 public:
  enum class Mode : std::uint8_t { Shared, Exclusive };

  /// Waits. The file is made (0600) if absent and is never removed by this class.
  static Result<FileLock> acquire(const std::string& path, Mode mode = Mode::Exclusive);

  /// Waits for the lock on what is open already, such as a namespace.
  static Result<FileLock> acquire(UniqueFd fd);

  /// Nothing when somebody else holds it.
  static Result<std::optional<FileLock>> try_acquire(const std::string& path,
                                                     Mode mode = Mode::Exclusive);

  /// Locks what is open already, for as long as any copy of the descriptor is open. False when
  /// somebody else holds it.
  static Result<bool> try_lock(int fd, Mode mode);

  /// For handing the lock to a child: it is held while any copy of the descriptor is open.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace bulkhead::os
