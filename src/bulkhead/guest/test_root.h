#pragma once

// A directory that plays the root of a container, for tests.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

class TestRoot {
 public:
  TestRoot() {
    std::string pattern = "/tmp/bulkhead-root-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    fd_ = os::UniqueFd(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  TestRoot(const TestRoot&) = delete;
  TestRoot& operator=(const TestRoot&) = delete;

  ~TestRoot() { std::filesystem::remove_all(path_); }

  [[nodiscard]] int fd() const { return fd_.get(); }

  [[nodiscard]] std::string path(const std::string& inside) const { return path_ + "/" + inside; }

  void write(const std::string& inside, const std::string& content, mode_t mode = 0644) const {
    make_parent(inside);
    std::ofstream(path(inside)) << content;
    ::chmod(path(inside).c_str(), mode);
  }

  void link(const std::string& inside, const std::string& target) const {
    make_parent(inside);
    std::filesystem::create_symlink(target, path(inside));
  }

  void fifo(const std::string& inside) const {
    make_parent(inside);
    ::mkfifo(path(inside).c_str(), 0644);
  }

  /// A character device. False where this user may not make one.
  [[nodiscard]] bool device(const std::string& inside, unsigned major, unsigned minor) const {
    make_parent(inside);
    return ::mknod(path(inside).c_str(), S_IFCHR | 0644, ::makedev(major, minor)) == 0;
  }

  void directory(const std::string& inside) const {
    std::filesystem::create_directories(path(inside));
  }

 private:
  void make_parent(const std::string& inside) const {
    std::filesystem::create_directories(std::filesystem::path(path(inside)).parent_path());
  }

  std::string path_;
  os::UniqueFd fd_;
};

}  // namespace bulkhead::guest
