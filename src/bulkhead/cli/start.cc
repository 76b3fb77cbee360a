#include "bulkhead/cli/start.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/session.h"
#include "bulkhead/cli/streams.h"
#include "bulkhead/cli/timing_report.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/v1/options.pb.h"

namespace bulkhead::cli {
namespace {

namespace task_api = containerd::task::v2;

constexpr std::string_view kOptionsType = "bulkhead.v1.CreateOptions";
constexpr std::string_view kRootType = "bulkhead/ext4";
/// How long a start that the user has interrupted may take to be undone.
constexpr std::chrono::seconds kUndo{30};

void mark(TimingReport* timing, const std::string& phase) {
  if (timing != nullptr) {
    timing->mark(phase);
  }
}

task_api::CreateTaskRequest create_request(const runtime::ContainerStore& store,
                                           const runtime::ContainerRecord& record,
                                           const Streams& streams, bool terminal,
                                           const std::string& timing_path) {
  task_api::CreateTaskRequest request;
  request.set_id(record.id);
  request.set_bundle(store.bundle(record.id));
  request.set_terminal(terminal);
  request.set_stdin(streams.input_path());
  request.set_stdout(streams.output_path());
  request.set_stderr(streams.errors_path());
  auto* root = request.add_rootfs();
  root->set_type(std::string(kRootType));
  root->set_source(record.root);
  root->add_options("ro");
  v1::CreateOptions options;
  record.options.to_proto(options);
  options.set_timing_path(timing_path);
  request.mutable_options()->set_type_url(std::string(kOptionsType));
  request.mutable_options()->set_value(options.SerializeAsString());
  return request;
}

/// The right to start the container's shim. The shim of a container that has just ended may still
/// be giving things back: it is waited for.
Result<os::FileLock> take_shim_lock(const runtime::ContainerStore& store,
                                    const runtime::ContainerRecord& record) {
  if (auto lock = BH_TRY(store.try_lock(record.id))) {
    return *std::move(lock);
  }
  const auto state = BH_TRY(store.load_state(record.id));
  if (state.status != runtime::ContainerStatus::Stopped) {
    return fail(ErrorCode::FailedPrecondition, "container {}: running already", record.name);
  }
  return store.lock(record.id, kUndo);
}

/// Asks the shim to end what was begun; it ends by itself after that.
void undo(Session& session, const std::string& id) {
  task_api::KillRequest kill;
  kill.set_id(id);
  kill.set_signal(SIGKILL);
  std::ignore = session.task().kill_and_wait(kill, {.timeout = kUndo});
  session.wait_for_end();
}

/// The end of an attached container whose shim did not live to tell of it.
Result<int> status_on_disk(runtime::ContainerStore& store, const runtime::ContainerRecord& record) {
  auto reopened = BH_TRY(open_containers(store.paths()));
  const auto container = reopened.load(record.id);
  if (!container) {
    return fail(ErrorCode::Unavailable, "container {}: its shim was killed", record.name);
  }
  return static_cast<int>(container->state.exit_code);
}

void tell_cause(const runtime::ContainerStore& store, const runtime::ContainerRecord& record) {
  const auto state = store.load_state(record.id);
  if (state && !state->error.empty()) {
    print_error(fail(ErrorCode::Internal, "container {}: {}", record.name, state->error));
  }
}

/// The shim that stood by for the container has been killed: all that it held is given back, and
/// another one started.
Result<int> start_without_standby(runtime::ContainerStore& store,
                                  const runtime::ContainerRecord& record,
                                  StartContainerOptions options) {
  runtime::StandbyPool(store.paths()).forget(record.id);
  {
    const os::FileLock lock = BH_TRY(store.lock(record.id, kUndo));
    release_address(store.paths(), record.id);
    BH_TRY(store.remove_run_directory(record.id));
  }
  options.has_shim = false;
  return start_container(store, record, options);
}

}  // namespace

Result<oci::Spec> load_spec(const runtime::ContainerStore& store, const std::string& id) {
  return oci::Spec::parse(BH_TRY(os::read_file(store.bundle(id) + "/config.json")));
}

int failed_start_status(Session& session, const ProcessId& process) {
  task_api::StateRequest request;
  request.set_id(process.container);
  request.set_exec_id(process.exec);
  const auto state = session.task().state_and_wait(request, {.timeout = std::chrono::seconds(10)});
  constexpr int kNotExecutable = 126;
  constexpr int kNotFound = 127;
  if (state && (state->exit_status() == kNotExecutable || state->exit_status() == kNotFound)) {
    return static_cast<int>(state->exit_status());
  }
  return 125;
}

Result<int> start_container(runtime::ContainerStore& store, const runtime::ContainerRecord& record,
                            const StartContainerOptions& options) {
  std::optional<os::FileLock> lock;
  if (!options.has_shim) {
    lock = BH_TRY(take_shim_lock(store, record));
  } else if (!store.has_shim(record.id)) {
    return start_without_standby(store, record, options);
  }
  const bool has_terminal = BH_TRY(load_spec(store, record.id)).process->terminal;
  auto streams = BH_TRY(Streams::make(store.paths().container_run(record.id), "",
                                      {.input = options.attach && options.input,
                                       .output = options.attach,
                                       .errors = options.attach && !has_terminal}));
  // Beside the containers: a container that removes itself takes its directory along.
  const std::string timing_file =
      options.timing == nullptr ? std::string() : store.paths().run + "/timing-" + record.id;
  if (lock) {
    BH_TRY(runtime::launch_shim(store, record.id, *std::move(lock)));
    mark(options.timing, "shim started");
  }
  const ProcessId process{.container = record.id, .exec = {}};
  auto opened = Session::open(store.socket_path(record.id), process,
                              options.attach ? SignalMode::PassOn : SignalMode::Leave);
  if (!opened) {
    return options.has_shim ? start_without_standby(store, record, options)
                            : Result<int>(std::move(opened.error()));
  }
  auto session = *std::move(opened);
  const auto created = session->task().create_and_wait(
      create_request(store, record, streams, has_terminal, timing_file));
  mark(options.timing, "create answered");
  if (!created && options.has_shim && created.error().code() == ErrorCode::Unavailable) {
    session.reset();
    return start_without_standby(store, record, options);
  }
  if (!created) {
    undo(*session, record.id);
    return session->interrupted_by() != 0 ? Result<int>(128 + session->interrupted_by())
                                          : created.error();
  }
  task_api::StartRequest request;
  request.set_id(record.id);
  const auto started = session->task().start_and_wait(request);
  mark(options.timing, "start answered");
  if (!started) {
    if (session->interrupted_by() != 0) {
      undo(*session, record.id);
      return 128 + session->interrupted_by();
    }
    print_error(started.error());
    const int status = failed_start_status(*session, process);
    session->wait_for_end();
    return status;
  }
  if (!options.attach) {
    return 0;
  }
  auto status = session->attach(streams, options.terminal && options.input);
  mark(options.timing, "exit");
  session->wait_for_end();
  mark(options.timing, "shim ended");
  if (options.timing != nullptr) {
    options.timing->add_json(os::read_file(timing_file).value_or(""));
    BH_TRY(os::remove_file(timing_file));
  }
  if (!status) {
    auto on_disk = status_on_disk(store, record);
    tell_cause(store, record);
    return on_disk;
  }
  tell_cause(store, record);
  return status;
}

}  // namespace bulkhead::cli
