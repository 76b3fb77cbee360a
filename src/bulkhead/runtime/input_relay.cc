#include "bulkhead/runtime/input_relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
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
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {
namespace {

/// After this much the rest of the loop has its turn.
constexpr std::size_t kTurnBytes = 512U << 10U;

}  // namespace

Result<std::unique_ptr<InputRelay>> InputRelay::create(os::EventLoop& loop,
                                                       const StdioTarget& target, StdinLife life) {
  if (target.kind != StdioTarget::Kind::Fifo) {
    return fail(ErrorCode::Invalid, "stdin {}: must be a FIFO", target.path);
  }
  std::unique_ptr<InputRelay> relay(new InputRelay(loop));
  relay->fifo_ =
      BH_TRY(os::open_file(target.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW).context("stdin"));
  if (!S_ISFIFO(BH_TRY(os::file_info(relay->fifo_.get())).mode)) {
    return fail(ErrorCode::Invalid, "stdin {}: not a FIFO", target.path);
  }
  if (life == StdinLife::UntilCloseIo) {
    relay->keep_alive_ =
        BH_TRY(os::open_file(target.path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW).context("stdin"));
  }
  return relay;
}

InputRelay::~InputRelay() { stop(); }

Result<> InputRelay::attach(std::weak_ptr<mux::Session> session, mux::StreamId id) {
  const auto target = session.lock();
  if (target == nullptr) {
    return fail(ErrorCode::Unavailable, "the connection to the guest is gone");
  }
  BH_TRY(target->open(id, {.on_data =
                               [this](Bytes bytes) {
                                 // Nothing is to come on it; let it pass rather than stall.
                                 if (const auto from = session_.lock()) {
                                   from->consume(id_, bytes.size());
                                 }
                               },
                           .on_end = nullptr,
                           .on_writable = [this] { read_more(); },
                           .on_reset = [this](const Error&) { stop(); }}));
  session_ = std::move(session);
  id_ = id;
  watch(true);
  if (is_closing_) {
    read_more();
  }
  return {};
}

void InputRelay::close_after_drain() {
  is_closing_ = true;
  keep_alive_.reset();
  if (id_ != 0) {
    read_more();
  }
}

void InputRelay::stop() {
  watch(false);
  keep_alive_.reset();
  fifo_.reset();
  if (const auto session = session_.lock()) {
    session->reset(id_);
  }
  session_.reset();
}

void InputRelay::finish() {
  watch(false);
  keep_alive_.reset();
  fifo_.reset();
  if (const auto session = session_.lock()) {
    session->end(id_);
  }
}

void InputRelay::watch(bool wanted) {
  if (wanted == is_watched_) {
    return;
  }
  if (!wanted) {
    // Not merely without events: a hang-up would be reported again and again.
    loop_.unwatch(fifo_.get());
    is_watched_ = false;
    return;
  }
  // Without a writer there was ever one of, the kernel reports nothing: end of file is one that
  // was.
  const auto watched = loop_.watch(fifo_.get(), EPOLLIN, [this](std::uint32_t) { read_more(); });
  if (!watched) {
    log::warning("stdin: {}", watched.error().message());
    finish();
    return;
  }
  is_watched_ = true;
}

void InputRelay::read_more() {
  const auto session = session_.lock();
  if (session == nullptr || !fifo_.is_open()) {
    return;
  }
  std::size_t total = 0;
  while (total < kTurnBytes) {
    const MutableBytes room = session->reserve(id_);
    if (room.empty()) {
      watch(false);
      session->want_write(id_);
      return;
    }
    const auto got = os::try_read(fifo_.get(), room);
    session->commit(id_, got && *got ? **got : 0);
    if (!got) {
      log::warning("stdin: {}", got.error().message());
      finish();
      return;
    }
    if (!*got) {
      if (is_closing_) {
        finish();
      } else {
        watch(true);
      }
      return;
    }
    if (**got == 0) {
      finish();
      return;
    }
    total += **got;
  }
  watch(true);
}

}  // namespace bulkhead::runtime
