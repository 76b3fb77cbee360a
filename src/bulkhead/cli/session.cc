#include "bulkhead/cli/session.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/streams.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::cli {
namespace {

namespace task_api = containerd::task::v2;

/// The shim's teardown is bounded; this is beyond its bounds.
constexpr std::chrono::seconds kLongestTeardown{30};

}  // namespace

Session::Session(std::unique_ptr<os::EventLoop> loop, std::unique_ptr<ttrpc::Client> client,
                 ProcessId process)
    : loop_(std::move(loop)),
      client_(std::move(client)),
      task_(*client_),
      process_(std::move(process)) {}

Result<std::unique_ptr<Session>> Session::open(const std::string& socket_path, ProcessId process,
                                               SignalMode signals) {
  auto loop = BH_TRY(os::EventLoop::create());
  auto client = BH_TRY(ttrpc::Client::connect(*loop, socket_path));
  std::unique_ptr<Session> session(
      new Session(std::move(loop), std::move(client), std::move(process)));
  if (signals == SignalMode::PassOn) {
    BH_TRY(session->loop_->on_signals(
        {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT},
        [raw = session.get()](int signal) { raw->on_signal(signal); }));
  }
  return session;
}

void Session::on_signal(int signal) {
  if (signal == SIGWINCH || signal == SIGCONT) {
    if (attached_ && has_terminal_) {
      send_size();
    }
    return;
  }
  // The terminal is gone, and so is the reason to be here; the container goes on.
  const bool is_hangup = attached_ && has_terminal_ && signal == SIGHUP;
  if (attached_ && !is_hangup) {
    send_signal(signal);
  } else if (is_hangup || (interrupted_by_ == 0 && signal != SIGUSR1 && signal != SIGUSR2)) {
    interrupted_by_ = signal;
    loop_->stop();
  }
}

void Session::send_signal(int signal) {
  task_api::KillRequest request;
  request.set_id(process_.container);
  request.set_exec_id(process_.exec);
  request.set_signal(static_cast<std::uint32_t>(signal));
  task_.kill(request, {}, [](const Result<google::protobuf::Empty>& result) {
    // The process may have ended in between: its exit status is on its way.
    if (!result && result.error().code() != ErrorCode::NotFound) {
      log::warning("signal: {}", result.error().message());
    }
  });
}

void Session::send_size() {
  const auto size = os::terminal_size(STDIN_FILENO);
  if (!size) {
    return;
  }
  task_api::ResizePtyRequest request;
  request.set_id(process_.container);
  request.set_exec_id(process_.exec);
  request.set_width(size->columns);
  request.set_height(size->rows);
  task_.resize_pty(request, {}, [](const Result<google::protobuf::Empty>&) {});
}

Result<int> Session::attach(Streams& streams, bool terminal) {
  attached_ = true;
  has_terminal_ = terminal;
  std::optional<os::RawTerminal> raw;
  if (terminal) {
    raw.emplace(BH_TRY(os::RawTerminal::enter(STDIN_FILENO)));
    send_size();
  }
  BH_TRY(streams.start([this] {
    loop_->post([this] {
      task_api::CloseIORequest request;
      request.set_id(process_.container);
      request.set_exec_id(process_.exec);
      request.set_stdin(true);
      task_.close_io(request, {}, [](const Result<google::protobuf::Empty>&) {});
    });
  }));
  task_api::WaitRequest request;
  request.set_id(process_.container);
  request.set_exec_id(process_.exec);
  const auto response = task_.wait_and_wait(request);
  streams.finish();
  if (!response) {
    return response.error();
  }
  return static_cast<int>(response->exit_status());
}

void Session::wait_for_end() {
  attached_ = true;
  if (!client_->is_open()) {
    return;
  }
  client_->on_closed([this](const Error&) { loop_->stop(); });
  const auto timer = loop_->after(kLongestTeardown, [this] { loop_->stop(); });
  std::ignore = loop_->run();
  loop_->cancel(timer);
}

}  // namespace bulkhead::cli
