#include "bulkhead/os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

struct DirCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

using Dir = std::unique_ptr<DIR, DirCloser>;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::vector<std::string>> entries_of(UniqueFd fd) {
  Dir directory(::fdopendir(fd.get()));
  if (!directory) {
    return Error::from_errno("open directory");
  }
  // The stream owns the descriptor from here on.
  std::ignore = fd.release();
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) {
        return Error::from_errno("read directory");
      }
      break;
    }
    const std::string_view name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

constexpr int kDeepestTree = 128;

Result<> remove_entry(int parent, const std::string& name, dev_t device, int depth) {
  if (depth > kDeepestTree) {
    return fail(ErrorCode::ResourceExhausted, "remove {}: deeper than {} directories", name,
                kDeepestTree);
  }
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) {
    return {};
  }
  if (errno != EISDIR && errno != EPERM) {
    return Error::from_errno("remove " + name);
  }
  UniqueFd fd = BH_TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) {
    return Error::from_errno("stat " + name);
  }
  if (info.st_dev != device) {
    return fail(ErrorCode::FailedPrecondition, "remove {}: a file system is mounted there", name);
  }
  UniqueFd listing = BH_TRY(duplicate(fd.get()));
  for (const std::string& child : BH_TRY(entries_of(std::move(listing)))) {
    BH_TRY(remove_entry(fd.get(), child, device, depth + 1));
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return Error::from_errno("remove " + name);
  }
  return {};
}

Result<std::optional<UniqueFd>> lock_file(const std::string& path, FileLock::Mode mode, int extra) {
  const int operation = (mode == FileLock::Mode::Shared ? LOCK_SH : LOCK_EX) | extra;
  while (true) {
    UniqueFd fd = BH_TRY(open_file(path, O_RDWR | O_CREAT, 0600));
    if (retry_eintr([&] { return ::flock(fd.get(), operation); }) != 0) {
      if (errno == EWOULDBLOCK) {
        return std::nullopt;
      }
      return Error::from_errno("lock " + path);
    }
    // Its holder may have removed the file while this one waited: then it locks nothing any more.
    struct stat held{};
    struct stat current{};
    if (::fstat(fd.get(), &held) != 0) {
      return Error::from_errno("stat " + path);
    }
    if (::stat(path.c_str(), &current) == 0 && current.st_ino == held.st_ino &&
        current.st_dev == held.st_dev) {
      return fd;
    }
  }
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd = BH_TRY(open_file(path, O_RDONLY));
  return read_to_end(fd.get(), limit).context(path);
}

Result<> write_file_atomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = path + "." + BH_TRY(make_id()).substr(0, 8) + ".tmp";
  const auto write = [&]() -> Result<> {
    const UniqueFd fd = BH_TRY(open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
    BH_TRY(write_all(fd.get(), as_bytes(content)).context(temporary));
    if (::fsync(fd.get()) != 0) {
      return Error::from_errno("fsync " + temporary);
    }
    return rename_path(temporary, path);
  };
  if (auto result = write(); !result) {
    ::unlink(temporary.c_str());
    return result;
  }
  return sync_directory(parent_of(path));
}

Result<> write_setting(const std::string& path, std::string_view value) {
  const UniqueFd file = BH_TRY(open_file(path, O_WRONLY));
  return write_all(file.get(), as_bytes(value)).context(path);
}

Result<> make_directories(const std::string& path, mode_t mode) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string prefix = path.substr(0, at);
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) {
      return Error::from_errno("make directory " + prefix);
    }
    if (at == std::string::npos) {
      break;
    }
  }
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return Error::from_errno("stat " + path);
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error::from_errno(ENOTDIR, "make directory " + path);
  }
  return {};
}

Result<> remove_tree(const std::string& path) {
  const auto parent = open_file(parent_of(path), O_RDONLY | O_DIRECTORY);
  if (!parent) {
    return parent.error().code() == ErrorCode::NotFound ? Result<>() : parent.error();
  }
  struct stat info{};
  if (::fstat(parent->get(), &info) != 0) {
    return Error::from_errno("stat " + path);
  }
  const auto slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return remove_entry(parent->get(), name, info.st_dev, 0);
}

Result<> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Error::from_errno("remove " + path);
  }
  return {};
}

Result<> remove_directory(const std::string& path) {
  if (::rmdir(path.c_str()) != 0) {
    return Error::from_errno("remove " + path);
  }
  return {};
}

bool path_exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

Result<> rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return Error::from_errno("rename " + from + " to " + to);
  }
  return {};
}

Result<> sync_directory(const std::string& path) {
  const UniqueFd fd = BH_TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) {
    return Error::from_errno("fsync " + path);
  }
  return {};
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  return entries_of(BH_TRY(open_file(path, O_RDONLY | O_DIRECTORY)));
}

Result<> make_fifo(const std::string& path, mode_t mode) {
  if (::mkfifo(path.c_str(), mode) != 0) {
    return Error::from_errno("make fifo " + path);
  }
  return {};
}

Result<std::string> read_link(const std::string& path) {
  std::array<char, 4096> buffer{};
  const ssize_t length = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (length < 0) {
    return Error::from_errno("read link " + path);
  }
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

Result<std::string> program_directory() { return parent_of(BH_TRY(read_link("/proc/self/exe"))); }

Result<FileLock> FileLock::acquire(const std::string& path, Mode mode) {
  auto fd = BH_TRY(lock_file(path, mode, 0));
  return FileLock(*std::move(fd));
}

Result<FileLock> FileLock::acquire(UniqueFd fd) {
  if (retry_eintr([&] { return ::flock(fd.get(), LOCK_EX); }) != 0) {
    return Error::from_errno("lock");
  }
  return FileLock(std::move(fd));
}

Result<bool> FileLock::try_lock(int fd, Mode mode) {
  const int operation = (mode == Mode::Shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (retry_eintr([&] { return ::flock(fd, operation); }) == 0) {
    return true;
  }
  if (errno == EWOULDBLOCK) {
    return false;
  }
  return Error::from_errno("lock");
}

Result<std::optional<FileLock>> FileLock::try_acquire(const std::string& path, Mode mode) {
  auto fd = BH_TRY(lock_file(path, mode, LOCK_NB));
  if (!fd) {
    return std::nullopt;
  }
  return FileLock(*std::move(fd));
}

}  // namespace bulkhead::os
