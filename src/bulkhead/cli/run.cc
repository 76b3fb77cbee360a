#include <unistd.h>

#include <csignal>
#include <string>
#include <tuple>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/create.h"
#include "bulkhead/cli/start.h"
#include "bulkhead/cli/timing_report.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {
namespace {

Result<> check_terminal(const ProcessOptions& process, bool detach) {
  if (!detach && process.terminal == TerminalMode::Allocate && process.input == InputMode::Keep &&
      !os::is_terminal(STDIN_FILENO)) {
    return fail(ErrorCode::Invalid, "-t: standard input is not a terminal; leave -t out");
  }
  return {};
}

}  // namespace

Result<int> run(const config::Paths& paths, const RunOptions& options) {
  BH_TRY(check_terminal(options.create.process, options.detach));
  TimingReport timing;
  auto store = BH_TRY(open_containers(paths));
  const auto container = BH_TRY(create_container(paths, store, options.create, FirstStart::Now));
  const runtime::ContainerRecord& record = container.record;
  timing.mark("created");
  const auto status =
      start_container(store, record,
                      {.has_shim = container.has_standby,
                       .attach = !options.detach,
                       .input = options.create.process.input == InputMode::Keep && !options.detach,
                       .terminal = options.create.process.terminal == TerminalMode::Allocate,
                       .timing = options.create.timing ? &timing : nullptr});
  if (!status) {
    // What could not be started is kept to be looked at, as docker keeps it; not with --rm.
    if (options.create.remove) {
      std::ignore = remove_when_ended(store, record.id);
    }
    return status;
  }
  if (options.detach) {
    fmt::print("{}\n", record.id);
  }
  if (options.create.timing) {
    timing.print();
  }
  return status;
}

Result<int> start(const config::Paths& paths, const StartOptions& options) {
  auto store = BH_TRY(open_containers(paths));
  const bool attach = options.attach || options.interactive;
  if (attach && options.containers.size() != 1) {
    return fail(ErrorCode::Invalid, "start: only one container can be attached to at a time");
  }
  if (!attach) {
    return for_each_container(store, options.containers, NameOutput::Print,
                              [&](const runtime::StoredContainer& container) -> Result<> {
                                std::ignore = BH_TRY(start_container(store, container.record, {}));
                                return {};
                              });
  }
  const auto container = BH_TRY(store.find(options.containers.front()));
  const auto spec = BH_TRY(load_spec(store, container.record.id));
  return start_container(store, container.record,
                         {.attach = true,
                          .input = options.interactive,
                          .terminal = spec.process && spec.process->terminal});
}

}  // namespace bulkhead::cli
