#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/frame.h"

namespace bulkhead::ttrpc {

class ServerProtocol;

/// A call that a server has been asked and has not ended yet. It is ended once: by respond(),
/// fail() or finish(); one that is destroyed before is answered Internal. It may outlive its
/// connection: then everything it is told goes nowhere.
class IncomingCall {
 public:
  IncomingCall(std::weak_ptr<ServerProtocol> protocol, StreamId stream,
               std::shared_ptr<const CallContext> context, std::string payload);
  IncomingCall(IncomingCall&& other) noexcept;
  IncomingCall& operator=(IncomingCall&& other) noexcept;
  IncomingCall(const IncomingCall&) = delete;
  IncomingCall& operator=(const IncomingCall&) = delete;
  ~IncomingCall();

  [[nodiscard]] const CallContext& context() const { return *context_; }

  /// Whether anybody still waits: false when the connection has gone or the deadline passed.
  [[nodiscard]] bool is_active() const;

  /// Called once, from the loop, if the call stops being active before we have ended it.
  void on_cancelled(std::move_only_function<void()> callback);

  /// The request's message.
  [[nodiscard]] Bytes payload() const { return as_bytes(payload_); }

  /// Ends the call with one message. A message too big for a frame becomes ResourceExhausted.
  void respond(std::string payload);
  void fail(const Error& error);

  /// Sends one message of a streaming server. Errors: Unavailable when the call is over; Invalid
  /// when the message is too big.
  Result<> send(std::string_view payload);

  /// Ends a streaming server's messages.
  void finish();

  /// Hands over the messages of a streaming client; those that came already during this call. A
  /// false return from `on_message` ends the call as InvalidArgument.
  void read(std::move_only_function<bool(Bytes)> on_message,
            std::move_only_function<void()> on_end);

 private:
  std::shared_ptr<ServerProtocol> take();

  std::weak_ptr<ServerProtocol> protocol_;
  StreamId stream_;
  std::shared_ptr<const CallContext> context_;  // shared with the connection's record of the call
  std::string payload_;
  bool ended_ = false;
};

/// Answers a unary call, now or later, once: `respond(StartResponse{})`, `respond(fail(…))`.
template <class Response>
class Responder {
 public:
  explicit Responder(IncomingCall call) : call_(std::move(call)) {}

  void operator()(const Response& response) { call_.respond(serialize(response)); }

  void operator()(const Error& error) { call_.fail(error); }

  void operator()(const Result<Response>& result) {
    result ? (*this)(*result) : (*this)(result.error());
  }

  [[nodiscard]] const CallContext& context() const { return call_.context(); }

  [[nodiscard]] bool is_active() const { return call_.is_active(); }

  /// Called once, from the loop, if the caller or the deadline goes before the answer.
  void on_cancelled(std::move_only_function<void()> callback) {
    call_.on_cancelled(std::move(callback));
  }

 protected:
  IncomingCall& call() { return call_; }

 private:
  IncomingCall call_;
};

/// A streaming server's side of a call with one request.
template <class Response>
class ServerWriter {
 public:
  explicit ServerWriter(IncomingCall call) : call_(std::move(call)) {}

  /// Errors: Unavailable when nobody listens any more, Invalid when the message is too big.
  Result<> write(const Response& message) { return call_.send(serialize(message)); }

  void finish(const Result<>& result = {}) { result ? call_.finish() : call_.fail(result.error()); }

  [[nodiscard]] const CallContext& context() const { return call_.context(); }

  [[nodiscard]] bool is_active() const { return call_.is_active(); }

  void on_cancelled(std::move_only_function<void()> callback) {
    call_.on_cancelled(std::move(callback));
  }

 protected:
  IncomingCall& call() { return call_; }

 private:
  IncomingCall call_;
};

/// For generated code and the readers below: `on_message` with its message parsed.
template <class Request>
std::move_only_function<bool(Bytes)> parse_message(
    std::move_only_function<void(Request)> on_message) {
  return [on_message = std::move(on_message)](Bytes payload) mutable {
    Request message;
    if (!parse(message, payload)) {
      return false;
    }
    on_message(std::move(message));
    return true;
  };
}

/// The server's side of a call whose client streams and which is answered once.
template <class Request, class Response>
class ServerReader : public Responder<Response> {
 public:
  explicit ServerReader(IncomingCall call) : Responder<Response>(std::move(call)) {}

  /// `on_end` comes when the client has no more messages. Once.
  void read(std::move_only_function<void(Request)> on_message,
            std::move_only_function<void()> on_end) {
    this->call().read(parse_message<Request>(std::move(on_message)), std::move(on_end));
  }
};

/// The server's side of a call that streams both ways.
template <class Request, class Response>
class ServerStream : public ServerWriter<Response> {
 public:
  explicit ServerStream(IncomingCall call) : ServerWriter<Response>(std::move(call)) {}

  /// `on_end` comes when the client has no more messages. Once.
  void read(std::move_only_function<void(Request)> on_message,
            std::move_only_function<void()> on_end) {
    this->call().read(parse_message<Request>(std::move(on_message)), std::move(on_end));
  }
};

class Service;

/// One method of a service, as generated code lists it.
struct Method {
  enum class Kind : std::uint8_t { Unary, ServerStreaming, ClientStreaming, Bidirectional };

  std::string_view name;
  Kind kind;
  void (*serve)(Service& service, IncomingCall call);
};

/// What a server can serve; generated classes derive from it.
class Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  /// "package.Service"
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::span<const Method> methods() const = 0;
};

/// For generated code: parses the request and calls `method`.
template <class Request, class Responder, class Implementation>
void serve_request(Implementation& service, void (Implementation::*method)(Request, Responder),
                   IncomingCall call) {
  Request request;
  if (!parse(request, call.payload())) {
    call.fail({ErrorCode::Invalid, "request: not a valid message"});
    return;
  }
  (service.*method)(std::move(request), Responder(std::move(call)));
}

/// For generated code: what a method answers that is not overridden.
Error unimplemented(const CallContext& context);

}  // namespace bulkhead::ttrpc
