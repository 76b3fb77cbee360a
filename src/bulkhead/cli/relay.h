#pragma once

#include <functional>
#include <thread>

#include "bulkhead/os/unique_fd.h"

namespace bulkhead::cli {

/// Copies bytes from one descriptor to another on a thread of its own, until end of file or an
/// error on either side. Blocking descriptors; in the kernel (splice) where one is a pipe.
class Relay {
 public:
  /// `to` is closed at the end; `finished` runs on the relay's thread after that.
  Relay(int from, os::UniqueFd to, std::move_only_function<void()> finished);

  /// Waits for the end. A relay that reads the terminal may never come to one: see abandon().
  void join() { thread_.join(); }

  /// Leaves the thread to the end of the process.
  void abandon() { thread_.detach(); }

 private:
  std::thread thread_;
};

}  // namespace bulkhead::cli
