#include "bulkhead/runtime/output_relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {
namespace {

constexpr std::chrono::milliseconds kLongestRetry{50};

}  // namespace

Result<std::unique_ptr<OutputRelay>> OutputRelay::create(os::EventLoop& loop, Options options) {
  std::unique_ptr<OutputRelay> relay(new OutputRelay(loop, std::move(options)));
  BH_TRY(relay->open_target());
  return relay;
}

OutputRelay::OutputRelay(os::EventLoop& loop, Options options)
    : loop_(loop), options_(std::move(options)) {}

OutputRelay::~OutputRelay() {
  loop_.cancel(open_timer_);
  loop_.cancel(reader_timer_);
  loop_.cancel(guest_timer_);
  loop_.cancel(done_timer_);
  watch_sink(false);
  if (const auto session = session_.lock()) {
    session->reset(id_);
  }
}

Result<> OutputRelay::open_target() {
  const StdioTarget& target = options_.target;
  switch (target.kind) {
    case StdioTarget::Kind::None:
      return {};
    case StdioTarget::Kind::File: {
      // O_NONBLOCK: something else of that name must not hang the shim.
      os::UniqueFd fd = BH_TRY(os::open_file(
          target.path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640));
      if (!BH_TRY(os::file_info(fd.get())).is_regular()) {
        return fail(ErrorCode::Invalid, "stdio {}: not a regular file", target.path);
      }
      sink_ = std::move(fd);
      return {};
    }
    case StdioTarget::Kind::Fifo:
      break;
  }
  sink_is_fifo_ = true;
  if (!BH_TRY(try_open_fifo())) {
    waits_for_reader_ = true;
    retry_open();
  }
  return {};
}

/// False when nobody reads it yet.
Result<bool> OutputRelay::try_open_fifo() {
  const std::string& path = options_.target.path;
  auto fd = os::open_file(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd) {
    if (fd.error().os_error() == ENXIO) {
      return false;
    }
    return std::move(fd.error()).context("stdio");
  }
  if (!S_ISFIFO(BH_TRY(os::file_info(fd->get())).mode)) {
    return fail(ErrorCode::Invalid, "stdio {}: not a FIFO", path);
  }
  sink_ = *std::move(fd);
  return true;
}

/// There is no event for a FIFO's first reader: look again, soon at first.
void OutputRelay::retry_open() {
  open_timer_ = loop_.after(next_retry_, [this] {
    const Result<bool> opened = try_open_fifo();
    if (opened && !*opened) {
      next_retry_ = std::min(next_retry_ * 2, kLongestRetry);
      retry_open();
      return;
    }
    waits_for_reader_ = false;
    loop_.cancel(reader_timer_);
    if (!opened) {
      drop_sink(opened.error());
    }
    write_pending();
  });
}

Result<> OutputRelay::attach(std::weak_ptr<mux::Session> session, mux::StreamId id) {
  const auto target = session.lock();
  if (target == nullptr) {
    return fail(ErrorCode::Unavailable, "the connection to the guest is gone");
  }
  BH_TRY(target->open(id, {.on_data = [this](Bytes bytes) { on_data(bytes); },
                           .on_end = [this] { on_stream_over(); },
                           .on_writable = nullptr,
                           .on_reset = [this](const Error&) { on_stream_over(); }}));
  // Nothing ever goes to the guest on it.
  target->end(id);
  session_ = std::move(session);
  id_ = id;
  stream_over_ = false;
  return {};
}

void OutputRelay::consume(std::size_t size) {
  if (const auto session = session_.lock(); session != nullptr && size != 0) {
    session->consume(id_, size);
  }
}

void OutputRelay::on_data(Bytes bytes) {
  if (options_.log != nullptr) {
    options_.log->write(options_.stream, bytes);
  }
  loop_.cancel(std::exchange(guest_timer_, 0));
  Bytes rest = bytes;
  if (pending_begin_ == pending_.size()) {
    rest = write_sink(bytes);
    consume(bytes.size() - rest.size());
  }
  if (!rest.empty()) {
    // The window bounds this: what is here has not been given back to the guest.
    pending_ += as_text(rest);
    if (waits_for_reader_ && reader_timer_ == 0) {
      reader_timer_ = loop_.after(options_.reader_patience, [this] {
        loop_.cancel(open_timer_);
        waits_for_reader_ = false;
        drop_sink(fail(ErrorCode::Timeout, "nobody opened it for reading"));
        write_pending();
      });
    }
  }
  if (drained_) {
    give_up_on_guest();
  }
}

/// Writes what can be written now and returns the rest.
Bytes OutputRelay::write_sink(Bytes bytes) {
  while (!bytes.empty()) {
    if (!sink_.is_open()) {
      return waits_for_reader_ ? bytes : Bytes{};
    }
    const auto written = os::try_write(sink_.get(), bytes);
    if (!written) {
      drop_sink(written.error());
      return {};
    }
    if (!*written) {
      watch_sink(true);
      return bytes;
    }
    bytes = bytes.subspan(**written);
  }
  return {};
}

void OutputRelay::write_pending() {
  const Bytes pending = as_bytes(std::string_view(pending_).substr(pending_begin_));
  const Bytes rest = write_sink(pending);
  const std::size_t done = pending.size() - rest.size();
  pending_begin_ += done;
  if (rest.empty()) {
    pending_.clear();
    pending_begin_ = 0;
    watch_sink(false);
  } else if (pending_begin_ > mux::kWindow) {
    pending_.erase(0, pending_begin_);
    pending_begin_ = 0;
  }
  consume(done);
  check_drained();
}

void OutputRelay::watch_sink(bool wanted) {
  if (!sink_is_fifo_ || wanted == sink_is_watched_) {
    return;
  }
  if (!wanted) {
    loop_.unwatch(sink_.get());
    sink_is_watched_ = false;
    return;
  }
  const auto watched =
      loop_.watch(sink_.get(), EPOLLOUT, [this](std::uint32_t) { write_pending(); });
  if (!watched) {
    drop_sink(watched.error());
    return;
  }
  sink_is_watched_ = true;
}

void OutputRelay::drop_sink(const Error& cause) {
  log::info("{}: {} is not served any more: {}", to_string(options_.stream), options_.target.path,
            cause.message());
  watch_sink(false);
  sink_.reset();
}

void OutputRelay::on_stream_over() {
  stream_over_ = true;
  if (options_.log != nullptr) {
    options_.log->flush();
  }
  loop_.cancel(std::exchange(guest_timer_, 0));
  check_drained();
}

void OutputRelay::drain(std::move_only_function<void()> done) {
  drained_ = std::move(done);
  give_up_on_guest();
  check_drained();
}

/// Only the guest's own silence counts, not the time that our reader takes.
void OutputRelay::give_up_on_guest() {
  loop_.cancel(std::exchange(guest_timer_, 0));
  if (stream_over_ || pending_begin_ != pending_.size()) {
    return;
  }
  guest_timer_ = loop_.after(options_.guest_patience, [this] {
    guest_timer_ = 0;
    log::warning("{}: the guest does not end the stream of a process that has ended",
                 to_string(options_.stream));
    if (const auto session = session_.lock()) {
      session->reset(id_);
    }
    on_stream_over();
  });
}

void OutputRelay::abandon() {
  if (const auto session = session_.lock()) {
    session->reset(id_);
  }
  loop_.cancel(open_timer_);
  waits_for_reader_ = false;
  watch_sink(false);
  sink_.reset();
  pending_.clear();
  pending_begin_ = 0;
  on_stream_over();
}

void OutputRelay::check_drained() {
  if (!drained_) {
    return;
  }
  if (!stream_over_) {
    give_up_on_guest();
    return;
  }
  if (pending_begin_ != pending_.size()) {
    return;
  }
  loop_.cancel(std::exchange(reader_timer_, 0));
  loop_.cancel(open_timer_);
  waits_for_reader_ = false;
  // The reader sees end of file before anybody is told of the exit.
  watch_sink(false);
  sink_.reset();
  done_timer_ = loop_.after(std::chrono::nanoseconds(0),
                            [done = std::exchange(drained_, nullptr)]() mutable { done(); });
}

}  // namespace bulkhead::runtime
