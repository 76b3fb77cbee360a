#include "bulkhead/shim/cleanup.h"

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/process.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/shim/arguments.h"

#include "containerd/task/v2/task.pb.h"

namespace bulkhead::shim {
namespace {

constexpr std::uint32_t kKilledStatus = 128 + SIGKILL;
constexpr std::chrono::seconds kPatience{3};

/// Kills the shim that holds the lock. Its id in a file would be no proof; that the lock is held
/// after the process has been pinned is.
Result<std::optional<os::FileLock>> end_shim(const std::string& bundle) {
  const std::string lock_path = bundle + "/" + kLockFile;
  if (!os::path_exists(lock_path)) {
    return std::nullopt;
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    if (auto lock = BH_TRY(os::FileLock::try_acquire(lock_path))) {
      return lock;
    }
    const auto text = os::read_file(bundle + "/" + kPidFile, 32);
    const auto pid = text ? parse_decimal<pid_t>(*text) : std::nullopt;
    if (pid && *pid > 1) {
      const auto process = os::Process::adopt(*pid);
      if (process) {
        if (auto lock = BH_TRY(os::FileLock::try_acquire(lock_path))) {
          return lock;
        }
        BH_TRY(process->kill(SIGKILL));
      }
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::Timeout, "delete: the shim does not end");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void remove_quietly(const std::string& path) {
  if (const auto removed = os::remove_file(path); !removed) {
    log::warning("delete: {}", removed.error().message());
  }
}

void remove_socket(const std::string& bundle, const std::string& run_directory) {
  const auto address = os::read_file(bundle + "/address", 256);
  const std::string prefix = "unix://" + run_directory + "/s/";
  if (address && address->starts_with(prefix) &&
      address->find('/', prefix.size()) == std::string::npos) {
    remove_quietly(address->substr(std::string_view("unix://").size()));
  }
}

}  // namespace

Result<std::string> clean_up(const Arguments& arguments) {
  const config::Paths paths = BH_TRY(config::Paths::from_environment());
  // Held to the end: nobody starts another shim in this bundle meanwhile.
  const auto lock = BH_TRY(end_shim(arguments.bundle));
  // The virtual machine ends with its shim; this is what outlasts both.
  runtime::make_host(paths)->detach_network(arguments.id);
  remove_socket(arguments.bundle, paths.run);
  remove_quietly(arguments.bundle + "/scratch.ext4");
  containerd::task::v2::DeleteResponse response;
  response.set_exit_status(kKilledStatus);
  const auto now = wall_now().time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  response.mutable_exited_at()->set_seconds(seconds.count());
  response.mutable_exited_at()->set_nanos(static_cast<std::int32_t>((now - seconds).count()));
  return response.SerializeAsString();
}

}  // namespace bulkhead::shim
