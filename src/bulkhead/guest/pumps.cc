#include "bulkhead/guest/pumps.h"

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

/// Frames of one descriptor before the rest of the loop has its turn.
constexpr int kFramesPerTurn = 8;

}  // namespace

// --- output ---

OutputPump::OutputPump(os::EventLoop& loop, std::weak_ptr<mux::Session> session,
                       mux::StreamId stream, os::UniqueFd fd)
    : loop_(loop),
      session_(std::move(session)),
      stream_(stream),
      fd_(std::move(fd)),
      discarding_(stream == 0) {}

OutputPump::~OutputPump() {
  loop_.unwatch(fd_.get());
  const auto session = session_.lock();
  if (!done_ && session != nullptr) {
    session->reset(stream_, mux::ResetReason::Failed);
  }
}

Result<> OutputPump::start(std::move_only_function<void()> on_done) {
  on_done_ = std::move(on_done);
  const auto session = session_.lock();
  if (session == nullptr) {
    return fail(ErrorCode::Unavailable, "stream {}: there is no session", stream_);
  }
  BH_TRY(os::set_nonblocking(fd_.get()));
  if (stream_ != 0) {
    BH_TRY(attach(*session));
  }
  return watch();
}

Result<> OutputPump::watch() {
  return loop_.watch(fd_.get(), EPOLLIN, [weak = weak_from_this()](std::uint32_t) {
    if (const auto self = weak.lock(); self != nullptr) {
      self->on_readable();
    }
  });
}

Result<> OutputPump::attach(mux::Session& session) {
  const auto weak = weak_from_this();
  mux::StreamEvents events;
  events.on_data = [weak](Bytes bytes) {
    // Not for us; given back so that it does no harm.
    const auto self = weak.lock();
    const auto alive = self ? self->session_.lock() : nullptr;
    if (alive != nullptr) {
      alive->consume(self->stream_, bytes.size());
    }
  };
  events.on_writable = [weak] {
    if (const auto self = weak.lock(); self != nullptr) {
      self->on_writable();
    }
  };
  events.on_reset = [weak](const Error&) {
    if (const auto self = weak.lock(); self != nullptr) {
      self->discarding_ = true;
      self->on_writable();
    }
  };
  return session.attach(stream_, std::move(events));
}

OutputPump::Step OutputPump::discard_some() {
  std::array<std::byte, 16384> buffer{};
  const auto n = os::try_read(fd_.get(), buffer);
  if (!n) {
    return Step::Ended;
  }
  if (!*n) {
    return Step::Empty;
  }
  return **n == 0 ? Step::Ended : Step::More;
}

OutputPump::Step OutputPump::move_some() {
  const auto session = session_.lock();
  if (discarding_ || session == nullptr) {
    return discard_some();
  }
  const MutableBytes room = session->reserve(stream_);
  if (room.empty()) {
    return Step::Blocked;
  }
  const auto n = os::try_read(fd_.get(), room);
  session->commit(stream_, n && *n ? **n : 0);
  if (!n) {
    return Step::Ended;  // EIO: nobody has the terminal open
  }
  if (!*n) {
    return Step::Empty;
  }
  return **n == 0 ? Step::Ended : Step::More;
}

void OutputPump::on_readable() {
  for (int frame = 0; frame < kFramesPerTurn; ++frame) {
    switch (move_some()) {
      case Step::More:
        break;
      case Step::Empty:
        return;
      case Step::Blocked: {
        // Not watched at all: a hang-up would be reported again and again.
        blocked_ = true;
        loop_.unwatch(fd_.get());
        if (const auto session = session_.lock(); session != nullptr) {
          session->want_write(stream_);
        }
        return;
      }
      case Step::Ended:
        end();
        return;
    }
  }
}

void OutputPump::on_writable() {
  if (done_ || !std::exchange(blocked_, false)) {
    return;
  }
  const auto watched = watch();
  if (!watched) {
    log::error("stream {}: {}", stream_, watched.error().message());
    end();
    return;
  }
  // It is the stream's turn, and there is room now.
  if (!discarding_) {
    on_readable();
  }
}

bool OutputPump::finish() {
  while (!done_) {
    switch (move_some()) {
      case Step::More:
        break;
      case Step::Blocked:
        return false;
      case Step::Empty:
      case Step::Ended:
        end();
        break;
    }
  }
  return true;
}

void OutputPump::end() {
  if (std::exchange(done_, true)) {
    return;
  }
  const auto self = shared_from_this();  // the callback may drop us
  loop_.unwatch(fd_.get());
  fd_.reset();
  if (const auto session = session_.lock(); session != nullptr) {
    session->end(stream_);
  }
  if (on_done_) {
    on_done_();
  }
}

// --- input ---

InputPump::InputPump(os::EventLoop& loop, std::weak_ptr<mux::Session> session, mux::StreamId stream,
                     os::UniqueFd fd, AtEnd at_end)
    : loop_(loop),
      session_(std::move(session)),
      stream_(stream),
      fd_(std::move(fd)),
      at_end_(at_end) {}

InputPump::~InputPump() { stop(); }

Result<> InputPump::start() {
  const auto session = session_.lock();
  if (session == nullptr) {
    return fail(ErrorCode::Unavailable, "stream {}: there is no session", stream_);
  }
  BH_TRY(os::set_nonblocking(fd_.get()));
  const auto weak = weak_from_this();
  const auto end = [weak] {
    if (const auto self = weak.lock(); self != nullptr) {
      self->on_end();
    }
  };
  mux::StreamEvents events;
  events.on_data = [weak](Bytes bytes) {
    if (const auto self = weak.lock(); self != nullptr) {
      self->on_data(bytes);
    }
  };
  events.on_end = end;
  events.on_reset = [end](const Error&) { end(); };
  return session->attach(stream_, std::move(events));
}

void InputPump::on_data(Bytes bytes) {
  if (pending_.empty() && fd_.is_open()) {
    // The common case: straight into the pipe.
    const auto n = os::try_write(fd_.get(), bytes);
    if (!n) {
      stop();  // nobody reads it any more
      return;
    }
    const std::size_t taken = n->value_or(0);
    bytes = bytes.subspan(taken);
    if (const auto session = session_.lock(); session != nullptr) {
      session->consume(stream_, taken);
    }
    if (bytes.empty()) {
      return;
    }
  }
  if (written_ >= mux::kWindow) {
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(written_));
    written_ = 0;
  }
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  if (!watching_) {
    write_pending();
  }
}

void InputPump::on_end() {
  ended_ = true;
  close_if_drained();
}

void InputPump::write_pending() {
  const auto session = session_.lock();
  while (written_ < pending_.size()) {
    const auto n = os::try_write(fd_.get(), std::span(pending_).subspan(written_));
    if (!n) {
      stop();  // nobody reads it any more
      return;
    }
    if (!*n) {
      if (!watching_) {
        watching_ = static_cast<bool>(
            loop_.watch(fd_.get(), EPOLLOUT, [weak = weak_from_this()](std::uint32_t) {
              if (const auto self = weak.lock(); self != nullptr) {
                self->write_pending();
              }
            }));
      }
      return;
    }
    written_ += **n;
    if (session != nullptr) {
      session->consume(stream_, **n);
    }
  }
  pending_.clear();
  written_ = 0;
  if (std::exchange(watching_, false)) {
    loop_.unwatch(fd_.get());
  }
  close_if_drained();
}

void InputPump::close_if_drained() {
  if (!ended_ || !pending_.empty() || !fd_.is_open()) {
    return;
  }
  if (at_end_ == AtEnd::Close) {
    stop();
  } else if (const auto session = session_.lock(); session != nullptr) {
    session->end(stream_);
  }
}

void InputPump::stop() {
  if (!fd_.is_open()) {
    return;
  }
  loop_.unwatch(fd_.get());
  fd_.reset();
  watching_ = false;
  pending_ = {};
  written_ = 0;
  if (const auto session = session_.lock(); session != nullptr) {
    if (ended_) {
      session->end(stream_);
    } else {
      session->reset(stream_);
    }
  }
}

}  // namespace bulkhead::guest
