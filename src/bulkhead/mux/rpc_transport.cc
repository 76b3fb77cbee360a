#include "bulkhead/mux/rpc_transport.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::mux {
namespace {

/// Messages that may wait for a peer that does not read; one of the largest fits twice.
constexpr std::size_t kMaxQueued = 10U << 20U;

struct RpcState : std::enable_shared_from_this<RpcState> {
  std::weak_ptr<Session> session;
  StreamId id;
  ttrpc::Transport::BytesCallback on_bytes;
  ttrpc::Transport::ClosedCallback on_closed;
  std::deque<std::string> queue;
  std::size_t sent_of_first = 0;
  std::size_t queued = 0;
  bool open = false;

  RpcState(std::weak_ptr<Session> with, StreamId stream) : session(std::move(with)), id(stream) {}

  void flush() {
    const auto target = session.lock();
    while (open && target != nullptr && !queue.empty()) {
      const Bytes rest = as_bytes(queue.front()).subspan(sent_of_first);
      const Result<std::size_t> written = target->write(id, rest);
      if (!written) {
        return;  // on_reset has come or is coming
      }
      queued -= *written;
      sent_of_first += *written;
      if (*written < rest.size()) {
        target->want_write(id);
        return;
      }
      queue.pop_front();
      sent_of_first = 0;
    }
  }

  void close(const Error& error) {
    if (std::exchange(open, false)) {
      if (const auto target = session.lock()) {
        target->reset(id);
      }
      on_closed(error);
    }
  }

  StreamEvents events() {
    const std::weak_ptr<RpcState> weak = weak_from_this();
    return {.on_data =
                [weak](Bytes bytes) {
                  if (const auto self = weak.lock(); self != nullptr && self->open) {
                    const auto from = self->session.lock();
                    self->on_bytes(bytes);
                    from->consume(self->id, bytes.size());
                  }
                },
            .on_end =
                [weak] {
                  if (const auto self = weak.lock()) {
                    self->close({ErrorCode::Unavailable, "the peer closed the connection"});
                  }
                },
            .on_writable =
                [weak] {
                  if (const auto self = weak.lock()) {
                    self->flush();
                  }
                },
            .on_reset =
                [weak](const Error& error) {
                  if (const auto self = weak.lock()) {
                    self->close({ErrorCode::Unavailable, error.message()});
                  }
                }};
  }
};

class RpcTransport final : public ttrpc::Transport {
 public:
  // Shared with the stream's callbacks: they may destroy the transport.
  RpcTransport(std::shared_ptr<RpcState> state, StreamOrigin origin)
      : state_(std::move(state)), origin_(origin) {}

  RpcTransport(const RpcTransport&) = delete;
  RpcTransport& operator=(const RpcTransport&) = delete;

  ~RpcTransport() override {
    const auto session = state_->session.lock();
    if (std::exchange(state_->open, false) && session != nullptr) {
      session->reset(state_->id);
    }
  }

  Result<> start(BytesCallback on_bytes, ClosedCallback on_closed) override {
    const auto session = state_->session.lock();
    if (session == nullptr) {
      return Error(ErrorCode::Unavailable, "there is no session");
    }
    state_->on_bytes = std::move(on_bytes);
    state_->on_closed = std::move(on_closed);
    if (origin_ == StreamOrigin::Open) {
      BH_TRY(session->open(state_->id, state_->events()));
    } else {
      BH_TRY(session->attach(state_->id, state_->events()));
    }
    state_->open = true;
    state_->flush();
    return {};
  }

  Result<> send(std::string bytes) override {
    if (!state_->open) {
      return Error(ErrorCode::Unavailable, "the connection is closed");
    }
    if (bytes.size() > kMaxQueued - state_->queued) {
      return fail(ErrorCode::ResourceExhausted, "the peer does not read: {} bytes wait",
                  state_->queued);
    }
    const bool idle = state_->queue.empty();
    state_->queued += bytes.size();
    state_->queue.push_back(std::move(bytes));
    if (idle) {
      state_->flush();
    }
    return {};
  }

  [[nodiscard]] std::size_t queued_bytes() const override { return state_->queued; }

 private:
  std::shared_ptr<RpcState> state_;
  StreamOrigin origin_;
};

}  // namespace

std::unique_ptr<ttrpc::Transport> make_rpc_transport(std::weak_ptr<Session> session, StreamId id,
                                                     StreamOrigin origin) {
  return std::make_unique<RpcTransport>(std::make_shared<RpcState>(std::move(session), id), origin);
}

}  // namespace bulkhead::mux
