#include "bulkhead/os/file_watch.h"

#include <sys/inotify.h>

#include <string>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

Result<UniqueFd> watch_removal(const std::string& path) {
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.is_open()) {
    return Error::from_errno("inotify");
  }
  if (::inotify_add_watch(watch.get(), path.c_str(), IN_MOVE_SELF | IN_DELETE_SELF) < 0) {
    return Error::from_errno("watch " + path);
  }
  return watch;
}

}  // namespace bulkhead::os
