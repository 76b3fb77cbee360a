#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// One thin wrapper per system call. EINTR is retried here and nowhere else; descriptors are made
// close-on-exec always.

namespace bulkhead::os {

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0666);
Result<UniqueFd> open_at(int directory, const std::string& path, int flags, mode_t mode = 0666);

/// Opens `path` as if `root` were the root directory: absolute names, "..", and symbolic links all
/// stay inside. For every path into a tree that a stranger made.
/// Source: openat2(2), RESOLVE_IN_ROOT.
Result<UniqueFd> open_in_root(int root, const std::string& path, int flags, mode_t mode = 0666);

/// Opens `path` below `directory`; leaving it, or meeting any symbolic link, is an error (ELOOP,
/// EXDEV).
Result<UniqueFd> open_beneath(int directory, const std::string& path, int flags,
                              mode_t mode = 0666);

/// 0 is end of file.
Result<std::size_t> read_some(int fd, MutableBytes buffer);
Result<std::size_t> write_some(int fd, Bytes data);
Result<std::size_t> pread_some(int fd, MutableBytes buffer, std::uint64_t offset);

/// The same on a non-blocking descriptor: nothing when it would block.
Result<std::optional<std::size_t>> try_read(int fd, MutableBytes buffer);
Result<std::optional<std::size_t>> try_write(int fd, Bytes data);

Result<> write_all(int fd, Bytes data);
Result<> pwrite_all(int fd, Bytes data, std::uint64_t offset);

/// Fills the buffer. Errors: Corrupt when the file ends before.
Result<> pread_exactly(int fd, MutableBytes buffer, std::uint64_t offset);

/// Reads to end of file. Errors: ResourceExhausted beyond `limit` bytes.
Result<std::string> read_to_end(int fd, std::size_t limit);

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

/// `flags` beside O_CLOEXEC, e.g. O_NONBLOCK.
Result<Pipe> make_pipe(int flags = 0);

Result<> set_nonblocking(int fd, bool nonblocking = true);

/// A duplicate, close-on-exec.
Result<UniqueFd> duplicate(int fd);

/// Clears close-on-exec, for a descriptor that a child is meant to have.
Result<> set_inheritable(int fd);

Result<UniqueFd> make_memfd(const std::string& name);

}  // namespace bulkhead::os
