#include "bulkhead/shim/start.h"

#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/replace_file.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/shim/arguments.h"
#include "bulkhead/shim/cleanup.h"

#include "containerd/runtime/bootstrap/v1/bootstrap.pb.h"

namespace bulkhead::shim {
namespace {

/// Runtime options can parse as BootstrapParams by accident: only who names this very container
/// meant them.
std::string event_address(const Arguments& arguments, const std::string& input) {
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  if (params.ParseFromString(input) && params.instance_id() == arguments.id &&
      params.namespace_() == arguments.name_space) {
    return params.containerd_ttrpc_address();
  }
  return {};
}

}  // namespace

Result<std::string> start(const Arguments& arguments, const std::string& input) {
  const config::Paths paths = BH_TRY(config::Paths::from_environment());
  const std::string directory = paths.run + "/s";
  BH_TRY(os::make_directories(paths.run, 0711));
  BH_TRY(os::make_directories(directory, 0700));
  auto lock = BH_TRY(os::FileLock::try_acquire(arguments.bundle + "/" + kLockFile));
  if (!lock) {
    return fail(ErrorCode::AlreadyExists, "start: container {} has a shim", arguments.id);
  }
  const std::string socket = directory + "/" + BH_TRY(make_id());
  std::string address = "unix://" + socket;
  const os::UniqueFd listener = BH_TRY(os::listen_unix(socket));
  // containerd 1.x reads the address from here when it has been restarted.
  BH_TRY(os::replace_file(arguments.bundle + "/address", address, 0600));

  std::vector<std::string> environment = os::own_environment();
  if (const std::string events = event_address(arguments, input);
      !events.empty() && !os::environment_variable("TTRPC_ADDRESS")) {
    environment.push_back("TTRPC_ADDRESS=" + events);
  }
  const std::string programs = BH_TRY(os::program_directory());
  std::vector<std::string> command = {programs + "/" + runtime::kShimProgram,
                                      "-namespace",
                                      arguments.name_space,
                                      "-id",
                                      arguments.id,
                                      "-bundle",
                                      arguments.bundle};
  if (arguments.debug) {
    command.emplace_back("-debug");
  }
  command.emplace_back("serve");
  const os::Process daemon = BH_TRY(
      os::spawn({.arguments = std::move(command),
                 .descriptors = {{.source = listener.get(), .target = runtime::kShimListener},
                                 {.source = lock->fd(), .target = runtime::kShimLock}},
                 .environment = std::move(environment),
                 .working_directory = arguments.bundle,
                 .new_session = true}));
  BH_TRY(os::replace_file(arguments.bundle + "/" + kPidFile, std::to_string(daemon.pid()), 0600));
  return address;
}

}  // namespace bulkhead::shim
