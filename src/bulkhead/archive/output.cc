#include "bulkhead/archive/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <tuple>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::archive {
namespace {

constexpr mode_t kPrivateFile = 0600;

using Write = std::function<Result<>(Writer& to)>;

Result<> write_stream(int fd, const Write& write) {
  FdWriter to(fd);
  return write(to);
}

}  // namespace

Result<> write_output(const std::string& path, const Write& write) {
  if (path == "-") {
    return write_stream(STDOUT_FILENO, write);
  }
  if (os::path_exists(path) && !BH_TRY(os::file_info(path)).is_regular()) {
    const os::UniqueFd stream = BH_TRY(os::open_file(path, O_WRONLY));
    return write_stream(stream.get(), write);
  }
  const std::string partial = path + ".partial";
  const auto write_file = [&]() -> Result<> {
    const os::UniqueFd file =
        BH_TRY(os::open_file(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, kPrivateFile));
    BH_TRY(write_stream(file.get(), write));
    return os::rename_path(partial, path);
  };
  auto written = write_file();
  if (!written) {
    std::ignore = os::remove_file(partial);
  }
  return written;
}

}  // namespace bulkhead::archive
