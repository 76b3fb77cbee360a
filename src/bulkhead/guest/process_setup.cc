#include "bulkhead/guest/process_setup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/accounts.h"
#include "bulkhead/guest/capabilities.h"
#include "bulkhead/guest/container_root.h"
#include "bulkhead/guest/environment.h"
#include "bulkhead/guest/program.h"
#include "bulkhead/guest/resource_limits.h"
#include "bulkhead/os/credentials.h"
#include "bulkhead/os/execute.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/pseudo_terminal.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

using agent::v1::StartFailure;

constexpr int kReport = 3;
constexpr int kContainer = 4;
constexpr std::size_t kLargestPlan = 64U << 20U;

[[noreturn]] void report_failure(StartFailure failure, std::string_view message) {
  std::string text(1, kFailureReport);
  text += static_cast<char>(failure);
  text += message;
  // Nobody is left to be told of a failure to tell.
  std::ignore = os::write_all(kReport, as_bytes(text));
  os::exit_now(127);
}

/// The value, or the end of this process.
template <class T>
T require(Result<T> result, StartFailure failure = StartFailure::START_FAILURE_SETUP) {
  if (!result) {
    report_failure(failure, result.error().message());
  }
  if constexpr (!std::is_void_v<T>) {
    return *std::move(result);
  }
}

/// Nothing of PID 1's stays open, and nobody may look at this process until it is another program.
Result<> shed_descriptors(const ChildPlan& plan) {
  for (int i = 0; i < 3; ++i) {
    if (plan.standard[i] >= 0) {
      BH_TRY(os::place_descriptor(plan.standard[i], i));
    }
  }
  BH_TRY(os::place_descriptor(plan.report, kReport, os::DescriptorUse::ClosedOnExec));
  if (plan.container_pidfd >= 0) {
    BH_TRY(os::place_descriptor(plan.container_pidfd, kContainer, os::DescriptorUse::ClosedOnExec));
  }
  BH_TRY(os::close_from(plan.container_pidfd >= 0 ? kContainer + 1 : kReport + 1));
  return os::set_dumpable(false);
}

Result<> set_out_of_memory_score(std::int32_t score) {
  return os::write_setting("/proc/self/oom_score_adj", std::to_string(score));
}

Result<> join_container() {
  return os::join_namespaces(kContainer,
                             CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP);
}

std::uint16_t terminal_side(std::uint32_t size) {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(size, UINT16_MAX));
}

/// Opens a terminal of the container's, sends its controller to PID 1 and makes it the three
/// standard descriptors.
Result<> open_terminal(int root, const ChildPlan& plan) {
  os::UniqueFd controller =
      BH_TRY(os::open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  const os::TerminalSize size{.columns = terminal_side(plan.process->terminal_columns()),
                              .rows = terminal_side(plan.process->terminal_rows())};
  const os::PseudoTerminal terminal = BH_TRY(os::open_pseudo_terminal(std::move(controller), size));
  BH_TRY(os::send_with_fds(kReport, as_bytes(std::string_view(&kTerminalReport, 1)),
                           {terminal.controller.get()}));
  if (plan.start != nullptr) {
    BH_TRY(bind_console(terminal.terminal.get()));
  }
  for (int i = 0; i < 3; ++i) {
    BH_TRY(os::place_descriptor(terminal.terminal.get(), i));
  }
  return os::take_terminal(0);
}

Identity find_identity(int root, const agent::v1::User& user) {
  std::vector<std::uint32_t> additional(user.additional_gids().begin(),
                                        user.additional_gids().end());
  Result<Identity> found = user.by_name()
                               ? resolve_identity(root, user.name())
                               : numeric_identity(root, user.uid(), user.gid(), additional);
  Identity identity = require(std::move(found), StartFailure::START_FAILURE_USER);
  if (user.by_name()) {
    identity.groups.insert(identity.groups.end(), additional.begin(), additional.end());
  }
  return identity;
}

Result<> set_limits(const agent::v1::Process& process) {
  for (const agent::v1::ResourceLimit& limit : process.resource_limits()) {
    const auto resource = resource_by_name(limit.type());
    if (!resource) {
      return fail(ErrorCode::Invalid, "resource limit {}: not known", quote(limit.type()));
    }
    BH_TRY(os::set_resource_limit(*resource, {.soft = limit.soft(), .hard = limit.hard()})
               .context(limit.type()));
  }
  return {};
}

/// So that a program that is not root can open /dev/stdout and its kin again.
Result<> own_standard_descriptors(uid_t user, bool terminal) {
  for (int fd = 0; fd < 3; ++fd) {
    if (user != 0 && (terminal || S_ISFIFO(BH_TRY(os::file_info(fd)).mode))) {
      BH_TRY(os::change_owner(fd, user));
    }
  }
  return {};
}

/// A working directory outside the root is none.
Result<> enter_directory(const std::string& path) {
  BH_TRY(os::change_directory(path));
  if (!BH_TRY(os::current_directory()).starts_with('/')) {
    return fail(ErrorCode::PermissionDenied, "chdir {}: outside the container", quote(path));
  }
  return {};
}

bool is_permission_error(const Result<>& result) {
  return !result && (result.error().os_error() == EACCES || result.error().os_error() == EPERM);
}

std::string working_directory(const agent::v1::Process& process) {
  const std::string& path = process.working_directory();
  return path.starts_with('/') ? path : "/" + path;
}

/// Made if it is missing, as docker does for a container's first process.
Result<> make_working_directory(int root, const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return fail(ErrorCode::Invalid, "working directory {}: contains a NUL character", quote(path));
  }
  if (os::open_in_root(root, path, O_PATH | O_DIRECTORY)) {
    return {};
  }
  return os::make_directories(path).context("working directory");
}

struct Privileges {
  std::uint64_t bounding;
  os::CapabilitySets sets;
  std::uint64_t ambient;
};

Privileges privileges_of(const agent::v1::Capabilities& capabilities) {
  const auto mask = [](const auto& names) { return capability_mask({names.begin(), names.end()}); };
  return {.bounding = mask(capabilities.bounding()),
          .sets = {.effective = mask(capabilities.effective()),
                   .permitted = mask(capabilities.permitted()),
                   .inheritable = mask(capabilities.inheritable())},
          .ambient = mask(capabilities.ambient())};
}

/// The order is that of runc: what needs privilege before it is gone.
void become(const Identity& identity, const agent::v1::Process& process,
            const std::string& directory) {
  const Privileges privileges = privileges_of(process.capabilities());
  require(os::limit_bounding_set(privileges.bounding));
  require(os::keep_capabilities(true));
  require(os::set_groups(identity.groups));
  require(os::set_group(identity.group));
  // Root may enter what the user may not, and without capabilities also the other way round.
  const Result<> entered = enter_directory(directory);
  const bool once_more = is_permission_error(entered);
  if (!once_more) {
    require(entered, StartFailure::START_FAILURE_WORKING_DIRECTORY);
  }
  require(os::set_user(identity.user));
  require(os::keep_capabilities(false));
  require(os::set_capabilities(privileges.sets));
  require(os::set_ambient_capabilities(privileges.ambient));
  if (once_more) {
    require(enter_directory(directory), StartFailure::START_FAILURE_WORKING_DIRECTORY);
  }
  if (process.no_new_privileges()) {
    require(os::set_no_new_privileges());
  }
}

StartFailure failure_of(ProgramFailure failure) {
  return failure == ProgramFailure::NotFound ? StartFailure::START_FAILURE_NOT_FOUND
                                             : StartFailure::START_FAILURE_NOT_EXECUTABLE;
}

[[noreturn]] void execute_program(const agent::v1::Process& process,
                                  const std::vector<std::string>& environment) {
  const std::vector<std::string> arguments(process.arguments().begin(), process.arguments().end());
  if (arguments.empty()) {
    report_failure(StartFailure::START_FAILURE_SETUP, "no command is given");
  }
  for (const std::string& argument : arguments) {
    if (argument.find('\0') != std::string::npos) {
      report_failure(StartFailure::START_FAILURE_SETUP,
                     "argument " + quote(argument) + ": contains a NUL character");
    }
  }
  const FoundProgram program = find_program(arguments.front(), find_variable(environment, "PATH"));
  if (program.failure != ProgramFailure::None) {
    report_failure(failure_of(program.failure), program.message);
  }
  require(os::reset_signals());
  const Error error = os::execute(program.path, arguments, environment);
  const FoundProgram failed = explain_exec_failure(program.path, error);
  report_failure(failure_of(failed.failure), failed.message);
}

/// From the container's root to the program.
[[noreturn]] void become_program(const ChildPlan& plan) {
  const agent::v1::Process& process = *plan.process;
  os::UniqueFd root = require(os::open_file("/", O_PATH | O_DIRECTORY));
  if (process.terminal()) {
    require(open_terminal(root.get(), plan));
  }
  const Identity identity = find_identity(root.get(), process.user());
  const std::vector<std::string> environment = require(complete_environment(
      {process.environment().begin(), process.environment().end()},
      {.hostname = plan.hostname, .home = identity.home, .terminal = process.terminal()}));
  const std::string directory = working_directory(process);
  constexpr mode_t kDefaultMask = 022;
  os::set_umask(kDefaultMask);
  if (plan.start != nullptr) {
    require(make_working_directory(root.get(), directory),
            StartFailure::START_FAILURE_WORKING_DIRECTORY);
    if (plan.start->readonly_root()) {
      require(seal_root());
    }
  }
  root.reset();  // a working directory of /proc/self/fd/N leads nowhere
  require(own_standard_descriptors(identity.user, process.terminal()));
  require(set_limits(process));
  require(os::join_new_keyring("_ses.container"));
  become(identity, process, directory);
  if (process.user().has_umask()) {
    os::set_umask(process.user().umask() & 0777U);
  }
  execute_program(process, environment);
}

/// The descriptors that PID 1 sends with a message. Without one PID 1 has no use for this process.
std::vector<os::UniqueFd> receive_message(char message) {
  std::array<std::byte, 1> buffer{};
  os::Received received = require(os::receive_with_fds(kReport, buffer));
  if (received.size != 1 || as_text(buffer).front() != message || received.fds.empty()) {
    os::exit_now(0);
  }
  return std::move(received.fds);
}

/// Takes the standard descriptors that come with it, too.
agent::v1::StartRequest receive_plan() {
  const std::vector<os::UniqueFd> fds = receive_message(kPlanMessage);
  agent::v1::StartRequest plan;
  if (!plan.ParseFromString(require(os::read_to_end(fds.front().get(), kLargestPlan)))) {
    report_failure(StartFailure::START_FAILURE_SETUP, "the plan is damaged");
  }
  for (std::size_t i = 1; i < fds.size(); ++i) {
    require(os::place_descriptor(fds[i].get(), static_cast<int>(i) - 1));
  }
  return plan;
}

}  // namespace

void run_child(const ChildPlan& plan) {
  require(shed_descriptors(plan));
  require(os::new_session());
  os::set_umask(0);
  require(set_out_of_memory_score(plan.process->oom_score_adj()));
  if (plan.start != nullptr) {
    require(os::unshare_namespaces(CLONE_NEWCGROUP));
    require(set_up_namespaces(*plan.start));
    require(enter_container_root(*plan.start));
  } else {
    require(join_container());
  }
  become_program(plan);
}

void run_staged_child(const agent::v1::PrepareRequest& request, int report) {
  require(shed_descriptors({.report = report}));
  require(os::new_session());
  os::set_umask(0);
  require(os::unshare_namespaces(CLONE_NEWCGROUP));
  require(stage_mounts(request));
  require(os::write_all(kReport, as_bytes(std::string_view(&kStagedReport, 1))));
  const agent::v1::StartRequest plan = receive_plan();
  require(set_out_of_memory_score(plan.process().oom_score_adj()));
  require(set_up_namespaces(plan));
  std::vector<os::UniqueFd> root_and_disks = receive_message(kRootMessage);
  const os::UniqueFd root = std::move(root_and_disks.front());
  root_and_disks.erase(root_and_disks.begin());
  require(enter_staged_root(request, plan, root.get(), std::move(root_and_disks)));
  become_program(
      {.start = &plan, .process = &plan.process(), .hostname = plan.hostname(), .report = kReport});
}

}  // namespace bulkhead::guest
