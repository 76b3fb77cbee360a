#include "bulkhead/shim/daemon.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/config/settings.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/shim/arguments.h"
#include "bulkhead/shim/events.h"
#include "bulkhead/shim/shim_log.h"
#include "bulkhead/shim/standing_by.h"
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

/// Sees to the machine of the container after this one.
class StandbyMaker {
 public:
  StandbyMaker(os::EventLoop& loop, const runtime::StandbyPool& pool) : loop_(loop), pool_(pool) {}

  void leave_standby(const runtime::ContainerOptions& options) {
    const auto settings = config::Settings::load();
    if (!settings) {
      log::warning("standby: {}", settings.error().message());
      return;
    }
    if (settings->standby_machines == 0 && !pool_.is_in_use()) {
      return;
    }
    auto started = pool_.refill(options, settings->standby_machines);
    if (!started) {
      log::warning("standby: {}", started.error().message());
      return;
    }
    shims_ = *std::move(started);
    for (os::Process& shim : shims_) {
      // If it outlives this process, somebody else reaps it.
      if (const auto reaped = loop_.on_exit(shim, [](const os::ExitStatus&) {}); !reaped) {
        log::warning("standby: {}", reaped.error().message());
      }
    }
  }

 private:
  os::EventLoop& loop_;
  const runtime::StandbyPool& pool_;
  std::vector<os::Process> shims_;
};

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
  const runtime::StandbyPool pool(paths);
  std::unique_ptr<StandingBy> standing;
  StandbyMaker next(*loop, pool);
  TaskService service(
      *loop, *host, timing, events,
      {.id = arguments.id,
       .bundle = arguments.bundle,
       .paths = paths,
       .timeouts = {},
       .take_standby = [&] { return standing != nullptr ? standing->take() : nullptr; },
       .leave_standby =
           [&](const runtime::ContainerOptions& options) { next.leave_standby(options); }},
      [&loop = *loop] { loop.stop(); });
  server.add_service(service);
  server.add_service(service, kTaskV3);
  server.on_idle([&service] { service.on_idle(); });
  BH_TRY(server.listen(std::move(listener)));
  BH_TRY(loop->on_signals({SIGTERM, SIGINT}, [&service](int) { service.terminate(); }));
  if (arguments.action == Action::StandBy) {
    standing = std::make_unique<StandingBy>(*loop, *host, pool, arguments.id, [&] {
      if (!service.is_managed()) {
        loop->stop();
      }
    });
    BH_TRY(standing->begin());
  }
  const auto first = loop->after(kFirstConnection, [&] {
    if (lock && standing == nullptr && server.connections() == 0 && !service.is_managed()) {
      loop->stop();
    }
  });
  BH_TRY(loop->run());
  loop->cancel(first);

  flush_answers(*loop, server);
  service.finish();
  if (standing != nullptr && !service.is_managed()) {
    std::ignore = runtime::ContainerStore::existing(paths).remove_run_directory(arguments.id);
  }
  timing.mark("shim ends");
  if (!service.timing_path().empty()) {
    if (const auto written = timing.write(service.timing_path()); !written) {
      log::warning("{}", written.error().message());
    }
  }
  // Who waits for the end of the connection finds everything given back.
  server.close();
  service.leave_standby();
  return {};
}

}  // namespace bulkhead::shim
