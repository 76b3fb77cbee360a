#include "bulkhead/ttrpc/transport.h"

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ttrpc {
namespace {

constexpr std::size_t kReadSize = 64U << 10U;

struct FdState : std::enable_shared_from_this<FdState> {
  os::EventLoop& loop;
  os::UniqueFd fd;
  FdTransportOptions options;
  Transport::BytesCallback on_bytes;
  Transport::ClosedCallback on_closed;
  std::deque<std::string> queue;
  std::size_t sent_of_first = 0;
  std::size_t queued = 0;
  bool watched = false;
  bool closed = false;  ///< no more callbacks

  FdState(os::EventLoop& event_loop, os::UniqueFd socket, FdTransportOptions with)
      : loop(event_loop), fd(std::move(socket)), options(with) {}

  void release() {
    closed = true;
    loop.unwatch(fd.get());
    fd.reset();
  }

  void fail(const Error& error) {
    if (!closed) {
      release();
      on_closed(error);
    }
  }

  void update_events() {
    if (watched) {
      // The descriptor is watched: modify cannot fail but for memory.
      std::ignore = loop.modify(fd.get(), EPOLLIN | (queued != 0 ? EPOLLOUT : 0U));
    }
  }

  /// Bytes taken by the socket; nothing more fits when it is less than the size.
  Result<std::size_t> push(Bytes data) {
    std::size_t sent = 0;
    while (sent < data.size()) {
      const auto n = BH_TRY(os::try_send(fd.get(), data.subspan(sent)));
      if (!n) {
        break;
      }
      sent += *n;
    }
    return sent;
  }

  Result<> flush() {
    while (!queue.empty()) {
      const Bytes rest = as_bytes(queue.front()).subspan(sent_of_first);
      const std::size_t sent = BH_TRY(push(rest));
      queued -= sent;
      if (sent < rest.size()) {
        sent_of_first += sent;
        return {};
      }
      queue.pop_front();
      sent_of_first = 0;
    }
    update_events();
    return {};
  }

  void on_events(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
      if (const Result<> flushed = flush(); !flushed) {
        fail(flushed.error());
        return;
      }
    }
    if ((events & ~std::uint32_t{EPOLLOUT}) == 0) {
      return;
    }
    std::array<std::byte, kReadSize> buffer;  // NOLINT(*-member-init): 64 KiB that read() fills
    const auto n = os::try_read(fd.get(), buffer);
    if (!n) {
      fail(n.error());
    } else if (*n && **n == 0) {
      fail({ErrorCode::Unavailable, "the peer closed the connection"});
    } else if (*n) {
      on_bytes(MutableBytes(buffer).first(**n));
    }
  }
};

class FdTransport final : public Transport {
 public:
  // Shared with the loop's callbacks: they may destroy the transport.
  explicit FdTransport(std::shared_ptr<FdState> state) : state_(std::move(state)) {}

  FdTransport(const FdTransport&) = delete;
  FdTransport& operator=(const FdTransport&) = delete;

  ~FdTransport() override {
    if (!state_->closed) {
      state_->release();
    }
  }

  Result<> start(BytesCallback on_bytes, ClosedCallback on_closed) override {
    state_->on_bytes = std::move(on_bytes);
    state_->on_closed = std::move(on_closed);
    BH_TRY(state_->loop.watch(state_->fd.get(), EPOLLIN | (state_->queued != 0 ? EPOLLOUT : 0U),
                              [weak = state_->weak_from_this()](std::uint32_t events) {
                                if (const auto self = weak.lock();
                                    self != nullptr && !self->closed) {
                                  self->on_events(events);
                                }
                              }));
    state_->watched = true;
    return {};
  }

  Result<> send(std::string bytes) override {
    FdState& state = *state_;
    if (state.closed) {
      return Error(ErrorCode::Unavailable, "the connection is closed");
    }
    if (bytes.size() > state.options.max_queued_bytes - state.queued) {
      return fail(ErrorCode::ResourceExhausted, "the peer does not read: {} bytes wait",
                  state.queued);
    }
    std::size_t sent = 0;
    if (state.queue.empty()) {
      Result<std::size_t> pushed = state.push(as_bytes(bytes));
      if (!pushed) {
        fail_soon(pushed.error());
        return std::move(pushed).error();
      }
      sent = *pushed;
      if (sent == bytes.size()) {
        return {};
      }
      state.sent_of_first = sent;
    }
    state.queued += bytes.size() - sent;
    state.queue.push_back(std::move(bytes));
    state.update_events();
    return {};
  }

  [[nodiscard]] std::size_t queued_bytes() const override { return state_->queued; }

 private:
  /// on_closed never comes from inside send().
  void fail_soon(Error error) {
    state_->loop.after(std::chrono::nanoseconds(0),
                       [weak = state_->weak_from_this(), error = std::move(error)] {
                         if (const auto self = weak.lock(); self != nullptr && self->watched) {
                           self->fail(error);
                         }
                       });
  }

  std::shared_ptr<FdState> state_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_fd_transport(os::EventLoop& loop, os::UniqueFd socket,
                                                     FdTransportOptions options) {
  BH_TRY(os::set_nonblocking(socket.get()));
  return std::make_unique<FdTransport>(std::make_shared<FdState>(loop, std::move(socket), options));
}

}  // namespace bulkhead::ttrpc
