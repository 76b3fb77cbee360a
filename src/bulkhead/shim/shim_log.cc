#include "bulkhead/shim/shim_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/log.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::shim {
namespace {

class Destination {
 public:
  explicit Destination(std::string bundle) : bundle_(std::move(bundle)) {
    auto fifo = os::open_file(bundle_ + "/log", O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fifo) {
      const auto info = os::file_info(fifo->get());
      if (info && S_ISFIFO(info->mode)) {
        fd_ = *std::move(fifo);
      }
    }
  }

  void write(std::string_view line) {
    if (!fd_.is_open()) {
      auto file =
          os::open_file(bundle_ + "/shim.log", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
      if (!file) {
        return;
      }
      fd_ = *std::move(file);
    }
    // A log that is full or not read loses lines: the container goes on.
    std::ignore = os::try_write(fd_.get(), as_bytes(line));
  }

 private:
  std::string bundle_;
  os::UniqueFd fd_;
};

}  // namespace

void configure_log(const std::string& bundle, log::Level least) {
  log::configure(least, [destination = std::make_shared<Destination>(bundle)](
                            log::Level level, std::string_view line) {
    destination->write(fmt::format("time=\"{}\" level={} msg={:?}\n", format_rfc3339(wall_now()),
                                   log::to_string(level), line));
  });
}

}  // namespace bulkhead::shim
