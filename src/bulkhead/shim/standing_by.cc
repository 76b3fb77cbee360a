#include "bulkhead/shim/standing_by.h"

#include <sys/epoll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file_watch.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/standby_pool.h"

namespace bulkhead::shim {
namespace {

/// How long whoever has taken the machine may be silent.
constexpr std::chrono::seconds kClaimPatience{30};

Error not_wanted() { return fail(ErrorCode::Cancelled, "it is not wanted any more"); }

}  // namespace

StandingBy::StandingBy(os::EventLoop& loop, runtime::Host& host, const runtime::StandbyPool& pool,
                       std::string id, std::move_only_function<void()> on_end)
    : loop_(loop), host_(host), pool_(pool), id_(std::move(id)), on_end_(std::move(on_end)) {}

StandingBy::~StandingBy() {
  loop_.cancel(timer_);
  unwatch();
  pool_.forget(id_);
}

Result<> StandingBy::begin() {
  options_ = BH_TRY(pool_.options_of(id_));
  BH_TRY(watch(pool_.making_file(id_)));
  begin_when_quiet();
  return {};
}

/// Somebody who wants it, or nobody to want it, is told by what becomes of its file.
Result<> StandingBy::watch(const std::string& file) {
  unwatch();
  watch_ = BH_TRY(os::watch_removal(file));
  return loop_.watch(watch_.get(), EPOLLIN, [this](auto) { on_renamed(); });
}

void StandingBy::unwatch() {
  if (watch_.is_open()) {
    loop_.unwatch(watch_.get());
    watch_.reset();
  }
}

void StandingBy::begin_when_quiet() {
  timer_ = loop_.after(pool_.until_quiet(), [this] {
    timer_ = 0;
    pool_.until_quiet().count() == 0 ? make() : begin_when_quiet();
  });
}

void StandingBy::make() {
  auto made = runtime::Standby::create(
      loop_, host_, id_, options_,
      {.on_ready = [this] { on_ready(); }, .on_lost = [this](const Error& error) { end(error); }});
  if (!made) {
    end(made.error());
    return;
  }
  standby_ = *std::move(made);
}

void StandingBy::on_ready() {
  unwatch();
  if (const auto announced = pool_.announce(id_); !announced) {
    end(announced.error().code() == ErrorCode::NotFound ? not_wanted() : announced.error());
    return;
  }
  if (!watch(pool_.waiting_file(id_))) {
    on_renamed();  // by somebody who was fast
  }
}

void StandingBy::on_renamed() {
  unwatch();
  if (!pool_.is_taken(id_)) {
    end(not_wanted());
    return;
  }
  timer_ = loop_.after(kClaimPatience, [this] {
    timer_ = 0;
    end(fail(ErrorCode::Timeout, "whoever has taken it does not come"));
  });
}

std::unique_ptr<runtime::Standby> StandingBy::take() {
  loop_.cancel(std::exchange(timer_, 0));
  pool_.forget(id_);
  return std::move(standby_);
}

void StandingBy::end(const Error& error) {
  standby_.reset();
  if (error.code() == ErrorCode::Cancelled) {
    pool_.forget(id_);
  } else {
    pool_.fail_to_stand_by(id_, error);
  }
  if (auto on_end = std::exchange(on_end_, nullptr)) {
    on_end();
  }
}

}  // namespace bulkhead::shim
