#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/client_protocol.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::ttrpc {

/// One connection to a server; any number of calls at a time. Generated classes (AgentClient, …)
/// wrap it. Every call is answered once, from the loop or, with Cancelled, from close(); one that
/// is outstanding when the client is destroyed is not. Callbacks may call, close and destroy the
/// client.
class Client {
 public:
  /// The loop must outlive the client.
  static Result<std::unique_ptr<Client>> create(os::EventLoop& loop,
                                                std::unique_ptr<Transport> transport);

  /// Connects to a unix socket. Errors: NotFound, Unavailable.
  static Result<std::unique_ptr<Client>> connect(os::EventLoop& loop, const std::string& path);

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// A unary call. `done` gets the response; errors: Timeout, Unavailable when the connection
  /// breaks, Corrupt for an answer that cannot be read, and whatever code the server answers.
  template <class Response, class Request>
  void call(std::string_view service, std::string_view method, const Request& request,
            const CallOptions& options, std::move_only_function<void(Result<Response>)> done) {
    call_raw(service, method, serialize(request), options,
             [done = std::move(done)](Result<std::string> payload) mutable {
               done(parse_result<Response>(std::move(payload)));
             });
  }

  /// The same, running the loop until the answer is there. For command-line programs: not from
  /// inside the loop's run() or a callback. Stopping the loop ends the wait with Cancelled.
  template <class Response, class Request>
  Result<Response> call_and_wait(std::string_view service, std::string_view method,
                                 const Request& request, const CallOptions& options) {
    return parse_result<Response>(call_raw_and_wait(service, method, serialize(request), options));
  }

  void call_raw(std::string_view service, std::string_view method, std::string payload,
                const CallOptions& options, UnaryDone done);
  Result<std::string> call_raw_and_wait(std::string_view service, std::string_view method,
                                        std::string payload, const CallOptions& options);

  /// A call whose server streams: with `payload` the request is complete; without, the client
  /// streams too.
  ClientStreamHandle open_stream(std::string_view service, std::string_view method,
                                 std::optional<std::string> payload, const CallOptions& options,
                                 StreamEvents events);

  /// A call whose client streams and whose server answers once.
  ClientStreamHandle open_upload(std::string_view service, std::string_view method,
                                 const CallOptions& options, UnaryDone done);

  template <class Response>
  ClientStreamHandle open_upload(std::string_view service, std::string_view method,
                                 const CallOptions& options,
                                 std::move_only_function<void(Result<Response>)> done) {
    return open_upload(service, method, options,
                       UnaryDone([done = std::move(done)](Result<std::string> payload) mutable {
                         done(parse_result<Response>(std::move(payload)));
                       }));
  }

  /// Called once when the connection breaks (not for close()). Outstanding calls have failed then.
  void on_closed(std::move_only_function<void(Error)> callback);

  /// Fails outstanding calls with Cancelled and closes the connection.
  void close();

  [[nodiscard]] bool is_open() const;

 private:
  struct State;

  explicit Client(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;  // shared: a callback may destroy the client it was called by
};

/// The sending half of a client-streaming or bidirectional call. Dropping it neither closes nor
/// cancels.
template <class Request>
class ClientStream {
 public:
  explicit ClientStream(ClientStreamHandle handle) : handle_(std::move(handle)) {}

  /// Errors: Unavailable when the call is over.
  Result<> write(const Request& message) { return handle_.write(serialize(message)); }

  /// No more messages from us.
  Result<> close_send() { return handle_.close_send(); }

  /// Forgets the call: no more callbacks. (ttrpc cannot tell the server.)
  void cancel() { handle_.cancel(); }

 private:
  ClientStreamHandle handle_;
};

/// What a caller hears of a call whose server streams.
template <class Response>
struct StreamCallbacks {
  std::move_only_function<void(Response)> on_message;
  std::move_only_function<void(Result<>)> on_end;  ///< once, last
};

/// For generated code: events that parse.
template <class Response>
StreamEvents parse_stream(StreamCallbacks<Response> callbacks) {
  return {.on_message =
              [on_message = std::move(callbacks.on_message)](Bytes payload) mutable {
                Response message;
                if (!parse(message, payload)) {
                  return false;
                }
                on_message(std::move(message));
                return true;
              },
          .on_end = std::move(callbacks.on_end)};
}

}  // namespace bulkhead::ttrpc
