#include "bulkhead/os/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

/// A watch is found by descriptor and generation: an event that was fetched before its descriptor
/// was closed and reused does not reach the new owner.
constexpr std::uint64_t pack(int fd, std::uint64_t generation) {
  return (generation << 32U) | static_cast<std::uint32_t>(fd);
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_open()) {
    return Error::from_errno("epoll_create");
  }
  UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.is_open()) {
    return Error::from_errno("eventfd");
  }
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wakeup)));
  BH_TRY(loop->watch(loop->wakeup_.get(), EPOLLIN, [raw = loop.get()](std::uint32_t) {
    std::array<std::byte, 8> count{};
    std::ignore = try_read(raw->wakeup_.get(), count);
    raw->run_posted();
  }));
  return loop;
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wakeup)
    : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}

EventLoop::~EventLoop() = default;

Result<> EventLoop::watch(int fd, std::uint32_t events, FdCallback callback) {
  const std::uint64_t generation = ++generation_ & 0xffffffffU;
  epoll_event event{};
  event.events = events;
  event.data.u64 = pack(fd, generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return Error::from_errno("epoll add");
  }
  watches_[fd] = {.generation = generation,
                  .events = events,
                  .callback = std::make_shared<FdCallback>(std::move(callback))};
  return {};
}

Result<> EventLoop::modify(int fd, std::uint32_t events) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) {
    return fail(ErrorCode::NotFound, "epoll modify: descriptor {} is not watched", fd);
  }
  epoll_event event{};
  event.events = events;
  event.data.u64 = pack(fd, found->second.generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return Error::from_errno("epoll modify");
  }
  found->second.events = events;
  return {};
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
}

EventLoop::TimerId EventLoop::after(std::chrono::nanoseconds delay, Callback callback) {
  const TimerId id = ++last_timer_;
  const SteadyTime when = std::chrono::steady_clock::now() + delay;
  timers_.emplace(std::pair(when, id), std::move(callback));
  timer_times_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  const auto found = timer_times_.find(timer);
  if (found != timer_times_.end()) {
    timers_.erase({found->second, timer});
    timer_times_.erase(found);
  }
}

Result<> EventLoop::on_signals(std::initializer_list<int> signals, SignalCallback callback) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) {
    ::sigaddset(&set, signal);
  }
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return Error::from_errno(error, "block signals");
  }
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.is_open()) {
    return Error::from_errno("signalfd");
  }
  return watch(signals_.get(), EPOLLIN,
               [this, callback = std::move(callback)](std::uint32_t) mutable {
                 signalfd_siginfo info{};
                 while (true) {
                   const auto n = try_read(signals_.get(), object_bytes(info));
                   if (!n || *n != sizeof info) {
                     return;
                   }
                   callback(static_cast<int>(info.ssi_signo));
                 }
               });
}

Result<> EventLoop::on_exit(Process& process, ExitCallback callback) {
  return watch(process.pidfd(), EPOLLIN,
               [this, &process, callback = std::move(callback)](std::uint32_t) mutable {
                 const auto status = process.try_wait();
                 if (status && !*status) {
                   return;
                 }
                 unwatch(process.pidfd());
                 // Somebody else reaped it: how it ended is lost.
                 callback(status ? **status : ExitStatus{.code = 0, .signal = SIGKILL});
               });
}

void EventLoop::post(Callback callback) {
  {
    const std::scoped_lock lock(posted_.mutex);
    posted_.callbacks.push_back(std::move(callback));
  }
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  std::ignore = try_write(wakeup_.get(), object_bytes(one));
}

void EventLoop::run_posted() {
  std::vector<Callback> due;
  {
    const std::scoped_lock lock(posted_.mutex);
    due.swap(posted_.callbacks);
  }
  for (Callback& callback : due) {
    callback();
  }
}

void EventLoop::run_timers() {
  const SteadyTime now = std::chrono::steady_clock::now();
  // Only what was due on entry: a timer that re-arms itself with 0 must not starve the loop.
  while (!timers_.empty() && timers_.begin()->first.first <= now && !stopped_) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    node.mapped()();
  }
}

int EventLoop::next_timeout(std::chrono::milliseconds limit) const {
  if (timers_.empty()) {
    return limit.count() < 0 ? -1
                             : static_cast<int>(std::min<std::int64_t>(limit.count(), INT_MAX));
  }
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first -
                                                                 std::chrono::steady_clock::now());
  const std::int64_t until_timer = std::max<std::int64_t>(wait.count(), 0);
  const std::int64_t until = limit.count() < 0 ? until_timer : std::min(until_timer, limit.count());
  return static_cast<int>(std::min<std::int64_t>(until, INT_MAX));
}

void EventLoop::dispatch(const epoll_event& event) {
  const int fd = static_cast<int>(event.data.u64 & 0xffffffffU);
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second.generation != event.data.u64 >> 32U) {
    return;
  }
  const std::shared_ptr<FdCallback> callback = found->second.callback;
  (*callback)(event.events);
}

/// An edge is told once: whoever was not called because of a stop is to see it next time.
void EventLoop::put_back(const epoll_event& event) {
  const int fd = static_cast<int>(event.data.u64 & 0xffffffffU);
  if (const auto found = watches_.find(fd); found != watches_.end()) {
    // A change tells anew what is so.
    std::ignore = modify(fd, found->second.events);
  }
}

Result<> EventLoop::run_once(std::chrono::milliseconds timeout) {
  stopped_ = false;
  std::array<epoll_event, 64> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 next_timeout(timeout));
  if (count < 0 && errno != EINTR) {
    return Error::from_errno("epoll_wait");
  }
  std::span<const epoll_event> left =
      std::span(events).first(static_cast<std::size_t>(std::max(count, 0)));
  for (; !left.empty() && !stopped_; left = left.subspan(1)) {
    dispatch(left.front());
  }
  for (const epoll_event& event : left) {
    put_back(event);
  }
  run_timers();
  return {};
}

Result<> EventLoop::run() {
  do {
    BH_TRY(run_once(std::chrono::milliseconds(-1)));
  } while (!stopped_);
  return {};
}

}  // namespace bulkhead::os
