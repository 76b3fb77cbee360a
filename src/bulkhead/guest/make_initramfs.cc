// make-initramfs OUTPUT NAME=PROGRAM…: the guest's initial file system as an uncompressed "newc"
// cpio archive: the programs, the directories that PID 1 mounts on and the console's device node.
// Needs no privilege and makes the same bytes for the same input. Format: kernel
// Documentation/driver-api/early-userspace/buffer-format.rst.

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"

namespace bulkhead {
namespace {

class Archive {
 public:
  void directory(std::string_view name) { entry(name, S_IFDIR | 0755U, {}, 0); }

  void device(std::string_view name, std::uint32_t minor) {
    constexpr std::uint32_t kTerminalMajor = 5;
    entry(name, S_IFCHR | 0600U, {}, kTerminalMajor, minor);
  }

  void program(std::string_view name, std::string_view content) {
    entry(name, S_IFREG | 0755U, content, 0);
  }

  std::string finish() && {
    entry("TRAILER!!!", 0, {}, 0);
    constexpr std::size_t kBlock = 512;
    bytes_.resize((bytes_.size() + kBlock - 1) / kBlock * kBlock);
    return std::move(bytes_);
  }

 private:
  void entry(std::string_view name, std::uint32_t mode, std::string_view content,
             std::uint32_t major, std::uint32_t minor = 0) {
    const std::uint32_t links = S_ISDIR(mode) ? 2 : 1;
    // magic, inode, mode, uid, gid, links, time, size, device (2), special device (2), name, check
    bytes_ += fmt::format(
        "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}"
        "{:08x}{:08x}",
        ++inode_, mode, 0, 0, links, 0, content.size(), 0, 0, major, minor, name.size() + 1, 0);
    bytes_ += name;
    bytes_ += '\0';
    pad();
    bytes_ += content;
    pad();
  }

  void pad() { bytes_.resize((bytes_.size() + 3) / 4 * 4); }

  std::string bytes_;
  std::uint32_t inode_ = 0;
};

Result<> make(const std::string& output, std::span<char*> programs) {
  Archive archive;
  for (const char* directory :
       {"dev", "proc", "sys", "newroot", "run", "run/base", "run/scratch", "run/root", "run/cgroup",
        "run/files", "run/stage", "run/shares", "run/data", "run/rehearsal"}) {
    archive.directory(directory);
  }
  archive.device("dev/console", 1);
  for (const std::string_view program : programs) {
    const std::size_t equals = program.find('=');
    if (equals == std::string_view::npos) {
      return fail(ErrorCode::Invalid, "{}: not NAME=PROGRAM", program);
    }
    const std::string content = BH_TRY(os::read_file(std::string(program.substr(equals + 1))));
    archive.program(program.substr(0, equals), content);
  }
  return os::write_file_atomically(output, std::move(archive).finish());
}

}  // namespace
}  // namespace bulkhead

int main(int count, char** arguments) {
  if (count < 3) {
    fmt::print(stderr, "usage: make-initramfs OUTPUT NAME=PROGRAM…\n");
    return 2;
  }
  const auto made = bulkhead::make(
      arguments[1], std::span(arguments, static_cast<std::size_t>(count)).subspan(2));
  if (!made) {
    fmt::print(stderr, "make-initramfs: {}\n", made.error().message());
    return 1;
  }
  return 0;
}
