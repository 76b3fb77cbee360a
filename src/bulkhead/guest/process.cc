#include "bulkhead/guest/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/disks.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/guest/process_setup.h"
#include "bulkhead/guest/pumps.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

/// How long the output of an exec'd process is waited for after its end, when others still hold its
/// descriptors (`sh -c 'sleep 100 &'`). As long as docker waits. The first process takes all others
/// with it, so its output always ends by itself.
constexpr std::chrono::seconds kDrainAfterExit{2};

/// While the host's window is what holds it up.
constexpr std::chrono::milliseconds kDrainAgain{50};

/// 128 + SIGKILL, as a shell reports a child that was killed.
constexpr int kShellKilled = 137;

/// New processes of ours are born in the container's process ids, whose first is `pidfd`; then no
/// longer. A failure to go back would put every later process in the wrong place.
class BornInContainer {
 public:
  static Result<BornInContainer> enter(int pidfd) {
    const os::Process self = BH_TRY(os::Process::adopt(os::own_pid()));
    os::UniqueFd own = BH_TRY(os::duplicate(self.pidfd()));
    BH_TRY(os::join_namespaces(pidfd, CLONE_NEWPID));
    return BornInContainer(std::move(own));
  }

  BornInContainer(BornInContainer&& other) noexcept = default;
  BornInContainer& operator=(BornInContainer&&) = delete;
  BornInContainer(const BornInContainer&) = delete;
  BornInContainer& operator=(const BornInContainer&) = delete;

  ~BornInContainer() {
    if (own_.is_open()) {
      if (const auto left = os::join_namespaces(own_.get(), CLONE_NEWPID); !left) {
        log::error("leave the container's process ids: {}", left.error().message());
      }
    }
  }

 private:
  explicit BornInContainer(os::UniqueFd own) : own_(std::move(own)) {}

  os::UniqueFd own_;
};

/// Into the container's group, or where its first process is when that group holds none.
Result<os::CloneResult> clone_beside(const ContainerCgroup& cgroup, pid_t first) {
  auto cloned = os::clone_process({.flags = 0, .cgroup = cgroup.fd()});
  if (cloned || cloned.error().os_error() != EBUSY) {
    return cloned;
  }
  const os::UniqueFd group = BH_TRY(ContainerCgroup::open_group_of(first));
  return os::clone_process({.flags = 0, .cgroup = group.get()});
}

}  // namespace

/// The child's ends.
struct Process::Standard {
  os::UniqueFd fds[3];
};

Process::Process(os::EventLoop& loop, std::weak_ptr<mux::Session> session,
                 const ContainerCgroup& cgroup, const Options& options)
    : loop_(loop),
      session_(std::move(session)),
      cgroup_(cgroup),
      id_(options.id),
      has_terminal_(options.process->terminal()),
      streams_{options.process->stdin_stream(), options.process->stdout_stream(),
               has_terminal_ ? 0 : options.process->stderr_stream()},
      kills_before_(cgroup.out_of_memory_kills()) {}

Process::~Process() {
  loop_.cancel(drain_timer_);
  if (report_.is_open()) {
    loop_.unwatch(report_.get());
  }
}

Result<std::shared_ptr<Process>> Process::launch(
    os::EventLoop& loop, std::weak_ptr<mux::Session> session, const ContainerCgroup& cgroup,
    const Options& options, std::move_only_function<void(StartOutcome)> on_started) {
  std::shared_ptr<Process> process(new Process(loop, std::move(session), cgroup, options));
  Standard child;
  if (!process->has_terminal_) {
    BH_TRY(process->prepare_standard(child));
  }
  if (options.staged != nullptr) {
    BH_TRY(process->start_staged(options, child));
  } else {
    BH_TRY(process->clone_child(options, child));
  }
  process->on_started_ = std::move(on_started);
  BH_TRY(loop.watch(process->report_.get(), EPOLLIN, [weak = std::weak_ptr(process)](auto) {
    if (const auto self = weak.lock(); self != nullptr) {
      self->on_report();
    }
  }));
  return process;
}

Result<> Process::prepare_standard(Standard& child) {
  for (int i = 0; i < 3; ++i) {
    const auto index = static_cast<std::size_t>(i);
    if (streams_[index] == 0) {
      child.fds[index] = BH_TRY(os::open_file("/dev/null", i == 0 ? O_RDONLY : O_WRONLY));
      continue;
    }
    os::Pipe pipe = BH_TRY(os::make_pipe());
    os::enlarge_pipe(pipe.read_end.get());
    child.fds[index] = std::move(i == 0 ? pipe.read_end : pipe.write_end);
    ours_[index] = std::move(i == 0 ? pipe.write_end : pipe.read_end);
  }
  return {};
}

Result<> Process::start_staged(const Options& options, const Standard& child) {
  std::vector<int> standard;
  for (const os::UniqueFd& fd : child.fds) {
    if (fd.is_open()) {
      standard.push_back(fd.get());
    }
  }
  BH_TRY(options.staged->start(*options.start, standard));
  pid_ = options.staged->pid();
  pidfd_ = options.staged->take_pidfd();
  report_ = options.staged->take_report();
  return {};
}

Result<> Process::give_root(const agent::v1::StartRequest& plan) const {
  const os::UniqueFd directory = BH_TRY(os::open_file(kContainerRoot, O_PATH | O_DIRECTORY));
  const os::UniqueFd root = BH_TRY(os::clone_tree(directory.get()));
  const std::vector<os::UniqueFd> disks = BH_TRY(clone_data_disks(plan));
  return StagedChild::give_root(report_.get(), root.get(), disks);
}

Result<> Process::clone_child(const Options& options, const Standard& child) {
  auto [ours, theirs] = BH_TRY(os::make_socket_pair());
  ChildPlan plan{.start = options.start,
                 .process = options.process,
                 .hostname = options.hostname,
                 .container_pidfd = -1,
                 .report = theirs.get()};
  for (std::size_t i = 0; i < std::size(plan.standard); ++i) {
    plan.standard[i] = child.fds[i].get();
  }
  std::optional<BornInContainer> born;
  Result<os::CloneResult> cloned = fail(ErrorCode::Internal, "not cloned");
  if (options.container == nullptr) {
    cloned = os::clone_process({.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
                                .cgroup = cgroup_.fd()});
  } else {
    plan.container_pidfd = options.container->pidfd();
    born.emplace(BH_TRY(BornInContainer::enter(plan.container_pidfd)));
    cloned = clone_beside(cgroup_, options.container->pid());
  }
  os::CloneResult result = BH_TRY(std::move(cloned));
  if (result.pid == 0) {
    run_child(plan);
  }
  pid_ = result.pid;
  pidfd_ = std::move(result.pidfd);
  report_ = std::move(ours);
  return {};
}

void Process::on_report() {
  const auto self = shared_from_this();
  std::array<std::byte, 16384> buffer{};
  auto received = os::receive_with_fds(report_.get(), buffer);
  if (received && received->size != 0) {
    reported_ += as_text(std::span(buffer).first(received->size));
    std::ranges::move(received->fds, std::back_inserter(reported_fds_));
    constexpr std::size_t kLongestReport = 65536;
    if (reported_.size() < kLongestReport) {
      return;
    }
  }
  loop_.unwatch(report_.get());
  report_.reset();
  starting_ = false;
  if (reported_.starts_with(kTerminalReport)) {
    reported_.erase(0, 1);
    if (!reported_fds_.empty()) {
      controller_ = std::move(reported_fds_.front());
    }
  }
  if (reported_.size() >= 2 && reported_.front() == kFailureReport) {
    on_failed_start({.failure = static_cast<agent::v1::StartFailure>(reported_[1]),
                     .message = reported_.substr(2)});
  } else {
    on_started();
  }
  reported_.clear();
  reported_fds_.clear();
}

void Process::on_started() {
  if (const auto started = start_pumps(); !started) {
    std::ignore = os::signal_process(pidfd_.get(), SIGKILL);
    on_failed_start(
        {.failure = agent::v1::START_FAILURE_SETUP, .message = started.error().message()});
    return;
  }
  std::exchange(on_started_, nullptr)({});
  if (status_) {
    drain();
  }
}

void Process::on_failed_start(StartOutcome outcome) {
  if (const auto session = session_.lock(); session != nullptr) {
    for (const mux::StreamId stream : streams_) {
      if (stream != 0) {
        session->reset(stream);
      }
    }
  }
  input_.reset();
  outputs_.clear();
  std::exchange(on_started_, nullptr)(std::move(outcome));
}

Result<> Process::start_pumps() {
  if (has_terminal_) {
    if (!controller_.is_open()) {
      return fail(ErrorCode::Internal, "the terminal is missing");
    }
    if (streams_[0] != 0) {
      ours_[0] = BH_TRY(os::duplicate(controller_.get()));
    }
    // Somebody must read a terminal, or those who write to it wait for ever.
    ours_[1] = BH_TRY(os::duplicate(controller_.get()));
  }
  for (std::size_t i = 1; i < std::size(streams_); ++i) {
    if (!ours_[i].is_open()) {
      continue;
    }
    outputs_.push_back(
        std::make_shared<OutputPump>(loop_, session_, streams_[i], std::move(ours_[i])));
    BH_TRY(outputs_.back()->start([weak = weak_from_this()] {
      if (const auto self = weak.lock(); self != nullptr) {
        self->finish_if_drained();
      }
    }));
  }
  if (streams_[0] != 0) {
    input_ = std::make_shared<InputPump>(
        loop_, session_, streams_[0], std::move(ours_[0]),
        has_terminal_ ? InputPump::AtEnd::Keep : InputPump::AtEnd::Close);
    BH_TRY(input_->start());
  }
  return {};
}

void Process::when_finished(std::move_only_function<void(const ProcessEnd&)> callback) {
  if (end_) {
    callback(*end_);
  } else {
    waiters_.push_back(std::move(callback));
  }
}

void Process::on_exit(os::ExitStatus status) {
  status_ = status;
  if (!starting_) {
    drain();
  }
}

void Process::drain() {
  if (input_ != nullptr) {
    input_->stop();
  }
  finish_if_drained();
  if (end_ || is_first()) {
    return;
  }
  drain_timer_ = loop_.after(kDrainAfterExit, [this] {
    bool all = true;
    for (const auto& output : std::vector(outputs_)) {
      all = output->finish() && all;
    }
    if (!all) {
      drain_timer_ = loop_.after(kDrainAgain, [this] { drain(); });
    }
  });
}

void Process::finish_if_drained() {
  const auto is_done = [](const auto& output) { return output->is_done(); };
  if (!status_ || starting_ || end_ || !std::ranges::all_of(outputs_, is_done)) {
    return;
  }
  const bool killed = status_->signal == SIGKILL || status_->code == kShellKilled;
  end_ = ProcessEnd{.status = *status_,
                    .out_of_memory = killed && cgroup_.out_of_memory_kills() > kills_before_};
  loop_.cancel(drain_timer_);
  for (auto& waiter : std::exchange(waiters_, {})) {
    waiter(*end_);
  }
}

Result<> Process::kill(int signal) const {
  if (status_) {
    return fail(ErrorCode::NotFound, "process {}: has ended", pid_);
  }
  return os::signal_process(pidfd_.get(), signal);
}

Result<> Process::resize(std::uint32_t columns, std::uint32_t rows) const {
  if (!controller_.is_open()) {
    return fail(ErrorCode::FailedPrecondition, "process {}: has no terminal", pid_);
  }
  constexpr std::uint32_t kMost = UINT16_MAX;
  return os::set_terminal_size(controller_.get(),
                               {.columns = static_cast<std::uint16_t>(std::min(columns, kMost)),
                                .rows = static_cast<std::uint16_t>(std::min(rows, kMost))});
}

}  // namespace bulkhead::guest
