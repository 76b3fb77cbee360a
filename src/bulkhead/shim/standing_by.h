#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/standby_pool.h"

namespace bulkhead::shim {

/// A shim before its container: it has a machine made when no containers are being started, says
/// that it waits, and ends when it is not wanted.
class StandingBy {
 public:
  /// `on_end`: nobody wants it. Everything outlives this object.
  StandingBy(os::EventLoop& loop, runtime::Host& host, const runtime::StandbyPool& pool,
             std::string id, std::move_only_function<void()> on_end);

  StandingBy(const StandingBy&) = delete;
  StandingBy& operator=(const StandingBy&) = delete;
  ~StandingBy();

  /// Begins. Errors: NotFound when it is not wanted any more.
  Result<> begin();

  /// For the container that has come: the machine, if there is one.
  std::unique_ptr<runtime::Standby> take();

 private:
  Result<> watch(const std::string& file);
  void unwatch();
  void begin_when_quiet();
  void make();
  void on_ready();
  void on_renamed();
  void end(const Error& error);

  os::EventLoop& loop_;
  runtime::Host& host_;
  const runtime::StandbyPool& pool_;
  std::string id_;
  std::move_only_function<void()> on_end_;
  runtime::ContainerOptions options_;
  std::unique_ptr<runtime::Standby> standby_;
  os::UniqueFd watch_;
  os::EventLoop::TimerId timer_ = 0;
};

}  // namespace bulkhead::shim
