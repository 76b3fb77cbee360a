#include "bulkhead/shim/daemon.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/shim/arguments.h"
#include "bulkhead/shim/events.h"
#include "bulkhead/shim/shim_log.h"
#include "bulkhead/shim/task_service.h"
#include "bulkhead/ttrpc/server.h"

namespace bulkhead::shim {
namespace {

/// How long a shim that was started waits for somebody to connect.
constexpr std::chrono::seconds kFirstConnection{30};
/// How long answers that a peer does not take may hold the end up.
constexpr std::chrono::seconds kLastAnswers{2};

constexpr const char* kTaskV3 = "containerd.task.v3.Task";

/// Runs the loop until every answer has left, or a deadline.
void flush_answers(os::EventLoop& loop, const ttrpc::Server& server) {
  const auto deadline = std::chrono::steady_clock::now() + kLastAnswers;
  while (server.queued_bytes() != 0 && std::chrono::steady_clock::now() < deadline) {
    if (!loop.run_once(std::chrono::milliseconds(50))) {
      return;
    }
  }
}

}  // namespace

Result<> serve(const Arguments& arguments) {
  runtime::Timing timing;
  timing.mark("shim started");
  os::UniqueFd listener = BH_TRY(os::take_inherited(runtime::kShimListener));
  // The container's lock, held by being open until this process ends.
  auto lock = os::take_inherited(runtime::kShimLock);
  configure_log(arguments.bundle, arguments.debug ? log::Level::Debug : log::Level::Info);
  BH_TRY(os::ignore_signal(SIGPIPE));
  BH_TRY(os::ignore_signal(SIGHUP));
  // A log that has reached a limit of file sizes is an error like a full disk.
  BH_TRY(os::ignore_signal(SIGXFSZ));
  const config::Paths paths = BH_TRY(config::Paths::from_environment());
  const std::unique_ptr<os::EventLoop> loop = BH_TRY(os::EventLoop::create());
  const std::unique_ptr<runtime::Host> host = runtime::make_host(paths);

  const std::string address = os::environment_variable("TTRPC_ADDRESS").value_or("");
  EventPublisher events(
      *loop, {.name_space = arguments.name_space,
              .address = address,
              .file = address.empty() ? paths.container_run(arguments.id) + "/events.log" : ""});
  ttrpc::Server server(*loop);
  TaskService service(*loop, *host, timing, events,
                      {.id = arguments.id, .bundle = arguments.bundle, .paths = paths},
                      [&loop = *loop] { loop.stop(); });
  server.add_service(service);
  server.add_service(service, kTaskV3);
  server.on_idle([&service] { service.on_idle(); });
  BH_TRY(server.listen(std::move(listener)));
  BH_TRY(loop->on_signals({SIGTERM, SIGINT}, [&service](int) { service.terminate(); }));
  const auto first = loop->after(kFirstConnection, [&] {
    if (lock && server.connections() == 0 && !service.is_managed()) {
      loop->stop();
    }
  });
  BH_TRY(loop->run());
  loop->cancel(first);

  flush_answers(*loop, server);
  service.finish();
  timing.mark("shim ends");
  if (const auto file = os::environment_variable(runtime::kTimingVariable)) {
    if (const auto written = timing.write(*file); !written) {
      log::warning("{}", written.error().message());
    }
  }
  // Who waits for the end of the connection finds everything given back.
  server.close();
  return {};
}

}  // namespace bulkhead::shim
