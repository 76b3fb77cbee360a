#include "bulkhead/os/io.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

Result<UniqueFd> open_with(int directory, const std::string& path, int flags, mode_t mode,
                           std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  // openat2 refuses a mode that open would ignore.
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  how.mode = creates ? mode : 0;
  how.resolve = resolve;
  // glibc 2.36 has no wrapper. EAGAIN: a rename raced with a lookup through "..".
  long fd = -1;
  for (int attempt = 0; attempt < 64; ++attempt) {
    fd = retry_eintr(
        [&] { return ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how); });
    if (fd >= 0 || errno != EAGAIN) {
      break;
    }
  }
  if (fd < 0) {
    return Error::from_errno("open " + path);
  }
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> open_at(int directory, const std::string& path, int flags, mode_t mode) {
  const int fd =
      retry_eintr([&] { return ::openat(directory, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) {
    return Error::from_errno("open " + path);
  }
  return UniqueFd(fd);
}

Result<UniqueFd> open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  return open_with(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<UniqueFd> open_beneath(int directory, const std::string& path, int flags, mode_t mode) {
  return open_with(directory, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

Result<std::size_t> read_some(int fd, MutableBytes buffer) {
  const ssize_t n = retry_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
  if (n < 0) {
    return Error::from_errno("read");
  }
  return static_cast<std::size_t>(n);
}

Result<std::size_t> write_some(int fd, Bytes data) {
  const ssize_t n = retry_eintr([&] { return ::write(fd, data.data(), data.size()); });
  if (n < 0) {
    return Error::from_errno("write");
  }
  return static_cast<std::size_t>(n);
}

Result<std::size_t> pread_some(int fd, MutableBytes buffer, std::uint64_t offset) {
  const ssize_t n = retry_eintr(
      [&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
  if (n < 0) {
    return Error::from_errno("read");
  }
  return static_cast<std::size_t>(n);
}

Result<std::optional<std::size_t>> try_read(int fd, MutableBytes buffer) {
  const ssize_t n = retry_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
  if (n >= 0) {
    return static_cast<std::size_t>(n);
  }
  if (errno == EAGAIN) {
    return std::nullopt;
  }
  return Error::from_errno("read");
}

Result<std::optional<std::size_t>> try_write(int fd, Bytes data) {
  const ssize_t n = retry_eintr([&] { return ::write(fd, data.data(), data.size()); });
  if (n >= 0) {
    return static_cast<std::size_t>(n);
  }
  if (errno == EAGAIN) {
    return std::nullopt;
  }
  return Error::from_errno("write");
}

Result<> write_all(int fd, Bytes data) {
  while (!data.empty()) {
    data = data.subspan(BH_TRY(write_some(fd, data)));
  }
  return {};
}

Result<> pwrite_all(int fd, Bytes data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t n = retry_eintr(
        [&] { return ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)); });
    if (n < 0) {
      return Error::from_errno("write");
    }
    data = data.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<> pread_exactly(int fd, MutableBytes buffer, std::uint64_t offset) {
  while (!buffer.empty()) {
    const std::size_t n = BH_TRY(pread_some(fd, buffer, offset));
    if (n == 0) {
      return fail(ErrorCode::Corrupt, "read: file ends at {}, {} bytes short", offset,
                  buffer.size());
    }
    buffer = buffer.subspan(n);
    offset += n;
  }
  return {};
}

Result<std::string> read_to_end(int fd, std::size_t limit) {
  std::string content;
  std::array<std::byte, 65536> buffer{};
  while (true) {
    const std::size_t n = BH_TRY(read_some(fd, buffer));
    if (n == 0) {
      return content;
    }
    if (n > limit - content.size()) {
      return fail(ErrorCode::ResourceExhausted, "read: more than {} bytes", limit);
    }
    content += as_text(std::span(buffer).first(n));
  }
}

Result<Pipe> make_pipe(int flags) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), flags | O_CLOEXEC) < 0) {
    return Error::from_errno("pipe");
  }
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<> set_nonblocking(int fd, bool nonblocking) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) {
    return Error::from_errno("fcntl");
  }
  const int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (::fcntl(fd, F_SETFL, wanted) < 0) {
    return Error::from_errno("fcntl");
  }
  return {};
}

Result<UniqueFd> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) {
    return Error::from_errno("dup");
  }
  return UniqueFd(copy);
}

Result<> set_inheritable(int fd) {
  if (::fcntl(fd, F_SETFD, 0) < 0) {
    return Error::from_errno("fcntl");
  }
  return {};
}

Result<UniqueFd> make_memfd(const std::string& name) {
  const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return Error::from_errno("memfd_create");
  }
  return UniqueFd(fd);
}

}  // namespace bulkhead::os
