#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

/// One loop per process role (epoll, timers, signals, children). Everything it calls runs on the
/// thread that called run(); only post() may be called from another thread.
/// Callbacks may add and remove watches, timers and themselves freely.
class EventLoop {
 public:
  using FdCallback = std::move_only_function<void(std::uint32_t events)>;
  using Callback = std::move_only_function<void()>;
  using SignalCallback = std::move_only_function<void(int signal)>;
  using ExitCallback = std::move_only_function<void(ExitStatus status)>;
  using TimerId = std::uint64_t;  ///< never 0

  static Result<std::unique_ptr<EventLoop>> create();

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Calls back with EPOLL* bits, level-triggered unless EPOLLET is among them. The descriptor
  /// stays the caller's, who calls unwatch() before closing it.
  /// Errors: AlreadyExists when it is watched; PermissionDenied for a regular file.
  Result<> watch(int fd, std::uint32_t events, FdCallback callback);

  /// Changes the events of a watched descriptor; 0 leaves only errors and hang-up.
  Result<> modify(int fd, std::uint32_t events);

  /// Not watched is fine.
  void unwatch(int fd);

  TimerId after(std::chrono::nanoseconds delay, Callback callback);

  /// Fired or unknown is fine.
  void cancel(TimerId timer);

  /// Blocks these signals for the process and calls back instead. Once per loop.
  Result<> on_signals(std::initializer_list<int> signals, SignalCallback callback);

  /// Reaps `process` when it ends and calls back once. The process must outlive the call back.
  Result<> on_exit(Process& process, ExitCallback callback);

  /// Runs `callback` on the loop's thread, soon. From any thread.
  void post(Callback callback);

  /// Runs until stop().
  Result<> run();

  /// Runs what is due, waiting at most `timeout` for the first event. For tests and for waiting
  /// with a deadline.
  Result<> run_once(std::chrono::milliseconds timeout);

  /// Ends the run() or run_once() in progress after the callback that asks for it. What else was
  /// due is so in the next one.
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    std::uint64_t generation;
    std::uint32_t events;
    std::shared_ptr<FdCallback> callback;  // shared: a callback may remove its own watch
  };

  struct Posted {
    std::mutex mutex;
    std::vector<Callback> callbacks;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup);

  int next_timeout(std::chrono::milliseconds limit) const;
  void dispatch(const epoll_event& event);
  void put_back(const epoll_event& event);
  void run_posted();
  void run_timers();

  UniqueFd epoll_;
  UniqueFd wakeup_;
  UniqueFd signals_;
  std::unordered_map<int, Watch> watches_;
  std::uint64_t generation_ = 0;
  std::map<std::pair<SteadyTime, TimerId>, Callback> timers_;
  std::unordered_map<TimerId, SteadyTime> timer_times_;
  TimerId last_timer_ = 0;
  Posted posted_;
  bool stopped_ = false;
};

}  // namespace bulkhead::os
