// bulkhead-qemu-preload.so: a few calls of a jailed QEMU, answered otherwise than the C library
// would.
//
// Three of them so that the memory of a saved machine (a template) can be shared by many restored
// ones and is never changed by any. QEMU opens the file behind guest memory by name, for writing,
// even if the mapping is private. And to give a page back that the guest reports as free, it first
// punches a hole into that file: into the memory of every other machine that was restored from it.
// (Both: QEMU 7.2, softmmu/physmem.c, file_ram_open and ram_block_discard_range.)
//
// So the machine has the file as a descriptor that was opened for reading only, which the kernel
// enforces, and this library gives it that one, and says yes to punching a hole into a file that
// cannot be written. QEMU then drops the private pages (madvise), which is all that is wanted.
//
// And one so that guests can make FIFOs and sockets in shared directories. QEMU closes whatever it
// opened that is neither a regular file nor a directory, which is right, but also a descriptor that
// was opened with O_PATH to set a new file's mode and with which nothing can be read or written
// (Debian's 7.2, hw/9pfs/9p-util.h, openat_file). Of those it is told that they are regular.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdarg>
#include <string_view>

#include "bulkhead/vmm/qemu/command_line.h"

namespace {

using bulkhead::vmm::qemu::kJailMemory;
using bulkhead::vmm::qemu::kMemoryDescriptor;

int open_file(const char* path, int flags, mode_t mode) {
  if (path == kJailMemory) {
    return ::fcntl(kMemoryDescriptor, F_DUPFD_CLOEXEC, 0);
  }
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

}  // namespace

// The names are the C library's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {

[[gnu::visibility("default")]] int open64(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    std::va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return open_file(path, flags, mode);
}

/// open64() of programs compiled with _FORTIFY_SOURCE.
[[gnu::visibility("default")]] int __open64_2(const char* path, int flags) {
  return open_file(path, flags, 0);
}

[[gnu::visibility("default")]] int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0 && (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
    return 0;
  }
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, length));
}

[[gnu::visibility("default")]] int fstat64(int fd, struct stat64* info) noexcept {
  const int result = static_cast<int>(::syscall(SYS_newfstatat, fd, "", info, AT_EMPTY_PATH));
  if (result == 0 && (S_ISFIFO(info->st_mode) || S_ISSOCK(info->st_mode)) &&
      (::fcntl(fd, F_GETFL) & O_PATH) != 0) {
    info->st_mode = (info->st_mode & ~mode_t{S_IFMT}) | S_IFREG;
  }
  return result;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
