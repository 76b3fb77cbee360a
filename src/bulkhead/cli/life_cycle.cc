#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/session.h"
#include "bulkhead/cli/signal_name.h"
#include "bulkhead/cli/start.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/host_mounts.h"

namespace bulkhead::cli {
namespace {

namespace task_api = containerd::task::v2;

using runtime::ContainerStatus;
using runtime::StoredContainer;

/// Beyond every bound of the shim's own teardown.
constexpr std::chrono::seconds kTeardown{60};
/// The same for an answer.
constexpr std::chrono::seconds kAnswer{30};
/// For a guest that is to be removed and might have something to write.
constexpr std::chrono::seconds kShortAnswer{5};

Error not_running(const StoredContainer& container) {
  return fail(ErrorCode::FailedPrecondition, "container {}: not running", container.record.name);
}

Result<std::unique_ptr<Session>> talk_to(const runtime::ContainerStore& store,
                                         const StoredContainer& container) {
  if (!store.has_shim(container.record.id)) {
    return not_running(container);
  }
  return Session::open(store.socket_path(container.record.id),
                       {.container = container.record.id, .exec = {}}, SignalMode::Leave)
      .context("container " + container.record.name);
}

Result<> send_signal(Session& session, const StoredContainer& container, int signal,
                     std::chrono::seconds timeout = kAnswer) {
  task_api::KillRequest request;
  request.set_id(container.record.id);
  request.set_signal(static_cast<std::uint32_t>(signal));
  const auto result = session.task().kill_and_wait(request, {.timeout = timeout});
  if (!result) {
    return result.error().code() == ErrorCode::NotFound ? not_running(container) : result.error();
  }
  return {};
}

/// Whether the first process has ended within `timeout`.
Result<bool> ends_within(Session& session, const StoredContainer& container,
                         std::chrono::nanoseconds timeout) {
  task_api::WaitRequest request;
  request.set_id(container.record.id);
  const auto result = session.task().wait_and_wait(request, {.timeout = timeout});
  if (result) {
    return true;
  }
  if (result.error().code() == ErrorCode::Timeout) {
    return false;
  }
  // A shim that has ended has nothing that runs.
  return result.error().code() == ErrorCode::Unavailable ||
                 result.error().code() == ErrorCode::NotFound
             ? Result<bool>(true)
             : result.error();
}

/// Ends the machine itself, whatever its guest does or does not. What the guest has not written to
/// its disks yet is lost.
Result<> end_machine(Session& session, const StoredContainer& container) {
  task_api::ShutdownRequest request;
  request.set_id(container.record.id);
  request.set_now(true);
  const auto ended = session.task().shutdown_and_wait(request, {.timeout = kAnswer});
  if (!ended && ended.error().code() != ErrorCode::Unavailable) {
    return ended.error();
  }
  // Who does not read the output of a process that has ended must not hold the end up. There may be
  // none by now.
  std::ignore = send_signal(session, container, SIGKILL);
  return {};
}

/// Whether files of the host may lack what the guest has yet to write: a disk's image, or what its
/// processes have mapped of a share.
bool writes_to_host(const runtime::ContainerStore& store, const std::string& id) {
  const auto spec = load_spec(store, id);
  return !spec || std::ranges::any_of(spec->mounts, [](const oci::Mount& mount) {
    return (runtime::is_disk(mount) || runtime::is_share(mount)) &&
           std::ranges::find(mount.options, "ro") == mount.options.end();
  });
}

int stop_signal_of(const runtime::ContainerRecord& record) {
  return record.stop_signal.empty() ? SIGTERM : parse_signal(record.stop_signal).value_or(SIGTERM);
}

Result<> stop_one(const runtime::ContainerStore& store, const StoredContainer& container,
                  std::chrono::seconds timeout) {
  if (!store.has_shim(container.record.id)) {
    return {};  // ended already: what was wanted
  }
  const auto connected = talk_to(store, container);
  if (!connected) {
    // It may be ending by itself just now.
    return store.wait_for_end(container.record.id, kTeardown) ? Result<>() : connected.error();
  }
  Session& session = **connected;
  auto asked = send_signal(session, container, stop_signal_of(container.record));
  // A guest that cannot even be asked has had its time.
  const bool is_deaf = !asked && asked.error().code() == ErrorCode::Timeout;
  if (!asked && !is_deaf && asked.error().code() != ErrorCode::FailedPrecondition) {
    return asked;
  }
  // A timeout of 0 would be none at all.
  const auto patience = std::max<std::chrono::nanoseconds>(timeout, std::chrono::milliseconds(1));
  if (is_deaf) {
    BH_TRY(end_machine(session, container));
  } else if (asked && !BH_TRY(ends_within(session, container, patience))) {
    const auto killed = send_signal(session, container, SIGKILL);
    if (!killed && killed.error().code() != ErrorCode::FailedPrecondition) {
      return killed;
    }
  }
  // Until everything is given back: its state is then final. One that removes itself is gone then.
  return store.wait_for_end(container.record.id, kTeardown);
}

/// Ends a container that nobody wants any more, at once where nothing can be lost by that.
Result<> end_by_force(const runtime::ContainerStore& store, const StoredContainer& container) {
  const std::string& id = container.record.id;
  const auto session = talk_to(store, container);
  if (!session) {
    // It may be ending by itself just now.
    return store.wait_for_end(id, kTeardown) ? Result<>() : session.error();
  }
  bool obeys = false;
  if (writes_to_host(store, id)) {
    const auto killed = send_signal(**session, container, SIGKILL, kShortAnswer);
    obeys = killed || killed.error().code() != ErrorCode::Timeout;
  }
  if (!obeys) {
    BH_TRY(end_machine(**session, container));
  }
  return store.wait_for_end(id, kTeardown);
}

Result<> remove_one(runtime::ContainerStore& store, const StoredContainer& container, bool force) {
  if (store.has_shim(container.record.id)) {
    if (!force && container.state.status == ContainerStatus::Running) {
      return fail(ErrorCode::FailedPrecondition,
                  "container {}: running; stop it first, or use rm -f", container.record.name);
    }
    BH_TRY(end_by_force(store, container));
  }
  return remove_when_ended(store, container.record.id);
}

/// The exit status of a container, waiting for its end if it runs.
Result<std::uint32_t> exit_status_of(runtime::ContainerStore& store,
                                     const StoredContainer& container) {
  const std::string& id = container.record.id;
  if (store.has_shim(id)) {
    auto session = talk_to(store, container);
    if (session) {
      task_api::WaitRequest request;
      request.set_id(id);
      const auto result = (*session)->task().wait_and_wait(request, {});
      if (result) {
        return result->exit_status();
      }
    }
    // It ended in between, or was killed: the state on disk tells.
    BH_TRY(store.wait_for_end(id, kTeardown));
    BH_TRY(store.reap_dead([](const std::string&) {}));
  }
  return BH_TRY(store.load(id)).state.exit_code;
}

}  // namespace

Result<> remove_when_ended(runtime::ContainerStore& store, const std::string& id) {
  // Its shim may be about to remove it itself.
  BH_TRY(store.wait_for_end(id, kTeardown));
  auto removed = store.remove(id);
  if (!removed && removed.error().code() == ErrorCode::NotFound) {
    return {};  // it has removed itself
  }
  return removed;
}

Result<int> stop(const config::Paths& paths, const StopOptions& options) {
  auto store = BH_TRY(open_containers(paths));
  return for_each_container(store, options.containers, NameOutput::Print,
                            [&](const StoredContainer& container) {
                              return stop_one(store, container, options.timeout);
                            });
}

Result<int> kill(const config::Paths& paths, const KillOptions& options) {
  const int signal = BH_TRY(parse_signal(options.signal));
  auto store = BH_TRY(open_containers(paths));
  return for_each_container(store, options.containers, NameOutput::Print,
                            [&](const StoredContainer& container) -> Result<> {
                              const auto session = BH_TRY(talk_to(store, container));
                              return send_signal(*session, container, signal);
                            });
}

Result<int> remove(const config::Paths& paths, const RemoveOptions& options) {
  auto store = BH_TRY(open_containers(paths));
  return for_each_container(store, options.containers, NameOutput::Print,
                            [&](const StoredContainer& container) {
                              return remove_one(store, container, options.force);
                            });
}

Result<int> wait(const config::Paths& paths, const std::vector<std::string>& containers) {
  auto store = BH_TRY(open_containers(paths));
  return for_each_container(store, containers, NameOutput::Silent,
                            [&](const StoredContainer& container) -> Result<> {
                              fmt::print("{}\n", BH_TRY(exit_status_of(store, container)));
                              std::ignore = std::fflush(stdout);
                              return {};
                            });
}

}  // namespace bulkhead::cli
