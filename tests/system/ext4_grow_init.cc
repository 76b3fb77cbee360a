// A guest's PID 1 that enlarges the mounted file system of /dev/vda to the size of its disk, writes
// into it, and says on the console how it went: "grown to N blocks" or what failed.

#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <tuple>

namespace {

constexpr unsigned long kResize = _IOW('f', 16, std::uint64_t);  // EXT4_IOC_RESIZE_FS

/// What failed, or nothing.
std::string grow() {
  if (::mount("dev", "/dev", "devtmpfs", 0, nullptr) != 0 && errno != EBUSY) {
    return "mount of /dev";
  }
  ::mkdir("/mnt", 0755);
  if (::mount("/dev/vda", "/mnt", "ext4", 0, nullptr) != 0) {
    return "mount";
  }
  const int disk = ::open("/dev/vda", O_RDONLY);
  const int root = ::open("/mnt", O_RDONLY | O_DIRECTORY);
  if (disk < 0 || root < 0) {
    return "open";
  }
  const off_t bytes = ::lseek(disk, 0, SEEK_END);
  struct statvfs info{};
  if (::fstatvfs(root, &info) != 0) {
    return "fstatvfs";
  }
  std::uint64_t blocks = static_cast<std::uint64_t>(bytes) / info.f_bsize;
  if (::ioctl(root, kResize, &blocks) != 0) {
    return "ioctl";
  }
  std::array<char, 5000> content{};
  content.fill('x');
  for (int i = 0; i < 500; ++i) {
    const std::string path = "/mnt/file" + std::to_string(i);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file < 0 || ::write(file, content.data(), content.size()) < 0) {
      return "write";
    }
    ::close(file);
  }
  ::close(root);
  ::close(disk);
  if (::umount("/mnt") != 0) {
    return "umount";
  }
  std::printf("grown to %llu blocks\n", static_cast<unsigned long long>(blocks));
  return {};
}

}  // namespace

int main() {
  if (const std::string failed = grow(); !failed.empty()) {
    std::printf("%s: %s\n", failed.c_str(), std::strerror(errno));
  }
  std::ignore = std::fflush(stdout);
  ::sync();
  ::reboot(LINUX_REBOOT_CMD_RESTART);
  return 0;
}
