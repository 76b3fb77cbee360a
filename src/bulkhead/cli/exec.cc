#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/environment.h"
#include "bulkhead/cli/session.h"
#include "bulkhead/cli/start.h"
#include "bulkhead/cli/streams.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/image_process.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {
namespace {

namespace task_api = containerd::task::v2;

constexpr std::string_view kProcessType =
    "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// The container's own process with what was asked for laid over it.
Result<oci::Process> process_of(const runtime::ContainerStore& store, const std::string& id,
                                const ExecOptions& options) {
  oci::Spec spec = BH_TRY(load_spec(store, id));
  if (!spec.process) {
    return fail(ErrorCode::Corrupt, "container {}: its specification has no process", id);
  }
  oci::Process process = *std::move(spec.process);
  process.args = options.arguments;
  oci::merge_environment(process.env,
                         BH_TRY(collect_environment(options.process.environment_files,
                                                    options.process.environment, own_environment)));
  process.terminal = options.process.terminal == TerminalMode::Allocate;
  if (process.terminal) {
    oci::merge_environment(process.env, {"TERM=xterm"});
    if (const auto size = os::terminal_size(STDOUT_FILENO)) {
      process.console_size = oci::ConsoleSize{.height = size->rows, .width = size->columns};
    }
  }
  if (!options.process.working_directory.empty()) {
    if (!options.process.working_directory.starts_with('/')) {
      return fail(ErrorCode::Invalid, "--workdir {}: not an absolute path",
                  options.process.working_directory);
    }
    process.cwd = options.process.working_directory;
  }
  if (!options.process.user.empty()) {
    BH_TRY(oci::check_user(options.process.user));
    process.user = {};
    process.user.username = options.process.user;
  }
  return process;
}

}  // namespace

Result<int> exec(const config::Paths& paths, const ExecOptions& options) {
  const bool terminal = options.process.terminal == TerminalMode::Allocate;
  const bool input = options.process.input == InputMode::Keep && !options.detach;
  if (terminal && input && !os::is_terminal(STDIN_FILENO)) {
    return fail(ErrorCode::Invalid, "-t: standard input is not a terminal; leave -t out");
  }
  auto store = BH_TRY(open_containers(paths));
  const auto container = BH_TRY(store.find(options.container));
  const std::string& id = container.record.id;
  if (!store.has_shim(id) || container.state.status != runtime::ContainerStatus::Running) {
    return fail(ErrorCode::FailedPrecondition, "container {}: not running", options.container);
  }
  const oci::Process process = BH_TRY(process_of(store, id, options));
  std::string exec_id = BH_TRY(make_id());
  const ProcessId process_id{.container = id, .exec = std::move(exec_id)};
  auto streams = BH_TRY(Streams::make(
      store.paths().container_run(id), process_id.exec.substr(0, 12) + "-",
      {.input = input, .output = !options.detach, .errors = !options.detach && !terminal}));
  auto session = BH_TRY(Session::open(store.socket_path(id), process_id,
                                      options.detach ? SignalMode::Leave : SignalMode::PassOn)
                            .context("container " + container.record.name));

  task_api::ExecProcessRequest request;
  request.set_id(id);
  request.set_exec_id(process_id.exec);
  request.set_terminal(terminal);
  request.set_stdin(streams.input_path());
  request.set_stdout(streams.output_path());
  request.set_stderr(streams.errors_path());
  request.mutable_spec()->set_type_url(std::string(kProcessType));
  request.mutable_spec()->set_value(BH_TRY(process.serialise()));
  BH_TRY(session->task().exec_and_wait(request));
  task_api::StartRequest start_request;
  start_request.set_id(id);
  start_request.set_exec_id(process_id.exec);
  const auto started = session->task().start_and_wait(start_request);
  if (!started) {
    print_error(started.error());
    return failed_start_status(*session, process_id);
  }
  if (options.detach) {
    return 0;
  }
  const int status = BH_TRY(session->attach(streams, terminal && input));
  task_api::DeleteRequest remove;
  remove.set_id(id);
  remove.set_exec_id(process_id.exec);
  std::ignore = session->task().delete__and_wait(remove);
  return status;
}

}  // namespace bulkhead::cli
