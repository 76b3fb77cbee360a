#include "bulkhead/ttrpc/client.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/client_protocol.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::ttrpc {

using std::chrono::steady_clock;

struct Client::State : std::enable_shared_from_this<Client::State> {
  os::EventLoop& loop;
  std::unique_ptr<Transport> transport;
  std::shared_ptr<ClientProtocol> protocol;
  std::move_only_function<void(Error)> on_closed;
  std::vector<std::move_only_function<void()>> failed;  ///< calls to be answered from the loop
  os::EventLoop::TimerId failed_timer = 0;
  os::EventLoop::TimerId deadline_timer = 0;
  std::optional<SteadyTime> deadline;  ///< that the timer is set to

  explicit State(os::EventLoop& event_loop) : loop(event_loop) {}

  void answer_failed() {
    failed_timer = 0;
    for (auto& callback : std::exchange(failed, {})) {
      callback();
    }
  }

  /// A call that could not even be sent.
  void fail_soon(std::move_only_function<void()> callback) {
    failed.push_back(std::move(callback));
    if (failed_timer == 0) {
      failed_timer = loop.after(std::chrono::nanoseconds(0), [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->answer_failed();
        }
      });
    }
  }

  void arm() {
    const std::optional<SteadyTime> next = protocol->next_deadline();
    if (next == deadline) {
      return;
    }
    loop.cancel(std::exchange(deadline_timer, 0));
    deadline = next;
    if (!next) {
      return;
    }
    deadline_timer = loop.after(*next - steady_clock::now(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->deadline.reset();
        self->protocol->expire(steady_clock::now());
        self->arm();
      }
    });
  }

  /// The server's side broke.
  void broken(const Error& error) {
    if (transport == nullptr) {
      return;
    }
    transport.reset();
    protocol->close(error);
    arm();
    if (on_closed) {
      std::exchange(on_closed, nullptr)(error);
    }
  }

  /// No more callbacks.
  void shutdown() {
    transport.reset();
    loop.cancel(std::exchange(deadline_timer, 0));
    loop.cancel(std::exchange(failed_timer, 0));
  }
};

Client::Client(std::shared_ptr<State> state) : state_(std::move(state)) {}

Client::~Client() { state_->shutdown(); }

Result<std::unique_ptr<Client>> Client::create(os::EventLoop& loop,
                                               std::unique_ptr<Transport> transport) {
  auto state = std::make_shared<State>(loop);
  const std::weak_ptr<State> weak = state;
  state->transport = std::move(transport);
  // The protocol belongs to the state, which therefore outlives it.
  state->protocol = ClientProtocol::create([raw = state.get()](std::string frame) -> Result<> {
    if (raw->transport == nullptr) {
      return Error(ErrorCode::Unavailable, "the connection is closed");
    }
    Result<> sent = raw->transport->send(std::move(frame));
    if (!sent && sent.error().code() == ErrorCode::ResourceExhausted) {
      // A part of a frame may be missing: the connection is of no use any more.
      raw->fail_soon([raw, error = sent.error()] { raw->broken(error); });
    }
    return sent;
  });
  BH_TRY(state->transport->start(
      [weak](Bytes bytes) {
        if (const auto self = weak.lock()) {
          self->protocol->receive(bytes);
          self->arm();
        }
      },
      [weak](const Error& error) {
        if (const auto self = weak.lock()) {
          self->broken(error);
        }
      }));
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Result<std::unique_ptr<Client>> Client::connect(os::EventLoop& loop, const std::string& path) {
  os::UniqueFd socket = BH_TRY(os::connect_unix(path));
  return create(loop, BH_TRY(make_fd_transport(loop, std::move(socket))));
}

void Client::call_raw(std::string_view service, std::string_view method, std::string payload,
                      const CallOptions& options, UnaryDone done) {
  const auto stream = state_->protocol->call(service, method, std::move(payload), options,
                                             steady_clock::now(), done);
  if (!stream) {
    state_->fail_soon([done = std::move(done), error = stream.error()]() mutable { done(error); });
  }
  state_->arm();
}

Result<std::string> Client::call_raw_and_wait(std::string_view service, std::string_view method,
                                              std::string payload, const CallOptions& options) {
  os::EventLoop& loop = state_->loop;
  std::optional<Result<std::string>> answer;
  UnaryDone done = [&](Result<std::string> result) {
    answer = std::move(result);
    loop.stop();
  };
  const StreamId stream = BH_TRY(state_->protocol->call(service, method, std::move(payload),
                                                        options, steady_clock::now(), done));
  state_->arm();
  const auto state = state_;
  const Result<> ran = loop.run();
  if (!answer) {
    state->protocol->cancel(stream);
    BH_TRY(Result<>(ran));
    return fail(ErrorCode::Cancelled, "{}: interrupted", method);
  }
  return *std::move(answer);
}

ClientStreamHandle Client::open_stream(std::string_view service, std::string_view method,
                                       std::optional<std::string> payload,
                                       const CallOptions& options, StreamEvents events) {
  const auto stream = state_->protocol->open(service, method, std::move(payload), options,
                                             steady_clock::now(), events);
  if (!stream) {
    state_->fail_soon(
        [events = std::move(events), error = stream.error()]() mutable { events.on_end(error); });
    return {};
  }
  state_->arm();
  return {state_->protocol, *stream};
}

ClientStreamHandle Client::open_upload(std::string_view service, std::string_view method,
                                       const CallOptions& options, UnaryDone done) {
  const auto stream =
      state_->protocol->open_upload(service, method, options, steady_clock::now(), done);
  if (!stream) {
    state_->fail_soon([done = std::move(done), error = stream.error()]() mutable { done(error); });
    return {};
  }
  state_->arm();
  return {state_->protocol, *stream};
}

void Client::on_closed(std::move_only_function<void(Error)> callback) {
  state_->on_closed = std::move(callback);
}

void Client::close() {
  const auto state = state_;
  state->shutdown();
  state->protocol->close({ErrorCode::Cancelled, "the connection was closed"});
  state->answer_failed();
}

bool Client::is_open() const { return state_->transport != nullptr; }

}  // namespace bulkhead::ttrpc
