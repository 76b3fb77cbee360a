// A guest's PID 1 for the tests of the virtual machine: no more than what they look at. Finds the
// agent's port by its name, says "ready", and then does what one-letter commands say:
//
//   e LINE   echoes the line           d  lists the block devices: "NAME SERIAL SIZE RO"
//   p        panics (PID 1 ends)       r  resets the machine
//   h        halts                     n  lists the network interfaces: "NAME MAC"
//   w NAME   writes to a disk          m  says the memory in KiB, and the number of processors

#include <dirent.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::string read_line(const std::string& path) {
  std::array<char, 256> buffer{};
  const int fd = ::open(path.c_str(), O_RDONLY);
  const ssize_t size = fd < 0 ? 0 : ::read(fd, buffer.data(), buffer.size());
  ::close(fd);
  std::string text(buffer.data(), static_cast<std::size_t>(size > 0 ? size : 0));
  return text.substr(0, text.find('\n'));
}

std::vector<std::string> names_in(const char* path) {
  std::vector<std::string> names;
  if (DIR* directory = ::opendir(path)) {
    while (const dirent* entry = ::readdir(directory)) {
      if (entry->d_name[0] != '.') {
        names.emplace_back(entry->d_name);
      }
    }
    ::closedir(directory);
  }
  std::ranges::sort(names);
  return names;
}

int open_port() {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    for (const std::string& name : names_in("/sys/class/virtio-ports")) {
      if (read_line("/sys/class/virtio-ports/" + name + "/name") == "org.bulkhead.agent.0") {
        return ::open(("/dev/" + name).c_str(), O_RDWR);
      }
    }
    ::usleep(1000);
  }
  return -1;
}

void say(int port, const std::string& text) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = ::write(port, text.data() + sent, text.size() - sent);
    if (n < 0) {
      return;
    }
    sent += static_cast<std::size_t>(n);
  }
}

void list_disks(int port) {
  for (const std::string& name : names_in("/sys/block")) {
    const std::string base = "/sys/block/" + name + "/";
    const std::string serial = read_line(base + "serial");
    if (!serial.empty()) {
      say(port, name + " " + serial + " " + read_line(base + "size") + " " +
                    read_line(base + "ro") + "\n");
    }
  }
  say(port, ".\n");
}

void write_disk(int port, const std::string& name) {
  const int fd = ::open(("/dev/" + name).c_str(), O_RDWR);
  const bool is_written =
      fd >= 0 && ::pwrite(fd, "written by the guest", 20, 4096) == 20 && ::fsync(fd) == 0;
  say(port, is_written ? "ok\n" : std::string(std::strerror(errno)) + "\n");
  ::close(fd);
}

void obey(int port, const std::string& line) {
  switch (line.empty() ? '\0' : line[0]) {
    case 'e':
      say(port, line + "\n");
      break;
    case 'p':
      ::_exit(3);
    case 'r':
      ::reboot(LINUX_REBOOT_CMD_RESTART);
      break;
    case 'h':
      ::reboot(LINUX_REBOOT_CMD_POWER_OFF);
      break;
    case 'd':
      list_disks(port);
      break;
    case 'w':
      write_disk(port, line.substr(2));
      break;
    case 'n':
      for (const std::string& name : names_in("/sys/class/net")) {
        say(port, name + " " + read_line("/sys/class/net/" + name + "/address") + "\n");
      }
      say(port, ".\n");
      break;
    case 'm': {
      struct sysinfo info{};
      ::sysinfo(&info);
      say(port, std::to_string(info.totalram * info.mem_unit / 1024) + " " +
                    std::to_string(::get_nprocs()) + "\n");
      break;
    }
    default:
      say(port, "?\n");
  }
}

}  // namespace

int main() {
  ::mkdir("/proc", 0755);
  ::mkdir("/sys", 0755);
  ::mkdir("/dev", 0755);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  const int port = open_port();
  say(port, "ready\n");
  std::string input;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t size = ::read(port, buffer.data(), buffer.size());
    if (size <= 0) {
      ::usleep(1000);
      continue;
    }
    input.append(buffer.data(), static_cast<std::size_t>(size));
    for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
      obey(port, input.substr(0, end));
      input.erase(0, end + 1);
    }
  }
}
