#include "bulkhead/ttrpc/server_protocol.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/envelope.pb.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/status.h"

namespace bulkhead::ttrpc {
namespace {

/// A deadline further away is none.
constexpr std::chrono::hours kLongestTimeout{24 * 365};

constexpr std::size_t kMaxErrorText = 4096;

bool client_streams(Method::Kind kind) {
  return kind == Method::Kind::ClientStreaming || kind == Method::Kind::Bidirectional;
}

std::shared_ptr<const CallContext> make_context(envelope::Request& request, SteadyTime now) {
  auto context = std::make_shared<CallContext>();
  context->service = std::move(*request.mutable_service());
  context->method = std::move(*request.mutable_method());
  for (envelope::KeyValue& pair : *request.mutable_metadata()) {
    context->metadata.emplace_back(std::move(*pair.mutable_key()),
                                   std::move(*pair.mutable_value()));
  }
  const std::chrono::nanoseconds timeout(request.timeout_nano());
  if (timeout.count() > 0 && timeout < kLongestTimeout) {
    context->deadline = now + timeout;
  }
  return context;
}

}  // namespace

struct ServerProtocol::Call {
  bool receives = false;   ///< the client streams and has not ended
  bool end_known = false;  ///< the client has ended
  std::optional<SteadyTime> deadline;
  std::move_only_function<bool(Bytes)> on_message;  ///< with on_end, from read()
  std::move_only_function<void()> on_end;
  std::move_only_function<void()> on_cancelled;
  std::deque<std::string> waiting;  ///< messages that came before read()
  std::size_t waiting_bytes = 0;
};

void ServiceTable::add(Service& service, std::string name) {
  services_.insert_or_assign(std::move(name), &service);
}

Service* ServiceTable::find(std::string_view name) const {
  const auto found = services_.find(name);
  return found == services_.end() ? nullptr : found->second;
}

std::shared_ptr<ServerProtocol> ServerProtocol::create(const ServiceTable& services,
                                                       ServerLimits limits, Send send) {
  // make_shared cannot reach the constructor
  return std::shared_ptr<ServerProtocol>(new ServerProtocol(services, limits, std::move(send)));
}

void ServerProtocol::receive(Bytes bytes, SteadyTime now) {
  const auto self = shared_from_this();
  reader_.feed(bytes, [&](const FrameHeader& header, Bytes data, bool oversized) {
    if (open_) {
      on_frame(header, data, oversized, now);
    }
    return open_;
  });
}

void ServerProtocol::on_frame(const FrameHeader& header, Bytes data, bool oversized,
                              SteadyTime now) {
  const StreamId stream = header.stream;
  if (oversized) {
    end_with_error(stream, StatusCode::ResourceExhausted,
                   fmt::format("message length {} exceeds maximum message size of {}",
                               std::uint32_t{header.length}, kMaxDataSize));
  } else if (stream % 2 != 1) {
    send_status(stream, StatusCode::InvalidArgument,
                "StreamID must be odd for client initiated streams");
  } else if (header.type == std::to_underlying(FrameType::Data)) {
    on_data(header, data);
  } else if (header.type == std::to_underlying(FrameType::Request)) {
    on_request(header, data, now);
  }
  // Other types are ignored: a later version may give them a meaning.
}

void ServerProtocol::on_request(const FrameHeader& header, Bytes data, SteadyTime now) {
  const StreamId stream = header.stream;
  if (stream <= last_stream_) {
    send_status(stream, StatusCode::InvalidArgument,
                "StreamID cannot be re-used and must increment");
    return;
  }
  last_stream_ = stream;
  envelope::Request request;
  if (!parse(request, data)) {
    send_status(stream, StatusCode::InvalidArgument, "unmarshal error: not a valid request");
    return;
  }
  if (calls_.size() >= limits_.max_calls) {
    send_status(stream, StatusCode::ResourceExhausted,
                fmt::format("more than {} calls at a time", limits_.max_calls));
    return;
  }
  Service* service = services_.find(request.service());
  if (service == nullptr) {
    send_status(stream, StatusCode::Unimplemented,
                fmt::format("service {}", quote(request.service())));
    return;
  }
  const auto methods = service->methods();
  const auto method = std::ranges::find(methods, std::string_view(request.method()), &Method::name);
  if (method == methods.end()) {
    send_status(stream, StatusCode::Unimplemented,
                fmt::format("method {}", quote(request.method())));
    return;
  }
  std::string payload = std::move(*request.mutable_payload());
  serve(stream, *service, *method, make_context(request, now), std::move(payload), header.flags);
}

void ServerProtocol::serve(StreamId stream, Service& service, const Method& method,
                           std::shared_ptr<const CallContext> context, std::string payload,
                           std::uint8_t flags) {
  const auto call = std::make_shared<Call>();
  calls_.emplace(stream, call);
  call->deadline = context->deadline;
  if (call->deadline) {
    deadlines_.emplace(*call->deadline, stream);
  }
  if (!client_streams(method.kind)) {
    method.serve(service,
                 IncomingCall(weak_from_this(), stream, std::move(context), std::move(payload)));
    return;
  }
  call->receives = (flags & kFlagRemoteClosed) == 0;
  call->end_known = !call->receives;
  if (!payload.empty()) {
    // The request may carry the first message.
    deliver(stream, call, as_bytes(payload));
  }
  method.serve(service, IncomingCall(weak_from_this(), stream, std::move(context), {}));
}

void ServerProtocol::on_data(const FrameHeader& header, Bytes data) {
  const StreamId stream = header.stream;
  const std::shared_ptr<Call> call = find(stream);
  if (call == nullptr || !call->receives) {
    send_status(stream, StatusCode::InvalidArgument, "StreamID is no longer active");
    return;
  }
  if ((header.flags & kFlagNoData) == 0) {
    deliver(stream, call, data);
  }
  if ((header.flags & kFlagRemoteClosed) != 0) {
    call->receives = false;
    call->end_known = true;
    if (call->on_end && find(stream) != nullptr) {
      call->on_end();
    }
  }
}

void ServerProtocol::deliver(StreamId stream, const std::shared_ptr<Call>& call, Bytes message) {
  if (call->on_message) {
    if (!call->on_message(message)) {
      end_with_error(stream, StatusCode::InvalidArgument,
                     "data handling error: not a valid message");
    }
    return;
  }
  call->waiting_bytes += message.size();
  if (call->waiting.size() >= limits_.max_waiting_messages ||
      call->waiting_bytes > limits_.max_waiting_bytes) {
    end_with_error(stream, StatusCode::ResourceExhausted, "too many messages wait");
    return;
  }
  call->waiting.emplace_back(as_text(message));
}

void ServerProtocol::read(StreamId stream, std::move_only_function<bool(Bytes)> on_message,
                          std::move_only_function<void()> on_end) {
  const std::shared_ptr<Call> call = find(stream);
  if (call == nullptr) {
    return;
  }
  call->on_message = std::move(on_message);
  call->on_end = std::move(on_end);
  call->waiting_bytes = 0;
  while (!call->waiting.empty() && find(stream) != nullptr) {
    const std::string message = std::move(call->waiting.front());
    call->waiting.pop_front();
    deliver(stream, call, as_bytes(message));
  }
  if (call->end_known && find(stream) != nullptr) {
    call->on_end();
  }
}

void ServerProtocol::send_frame(FrameType type, StreamId stream, std::uint8_t flags, Bytes data) {
  if (open_ && !send_(make_frame(type, stream, flags, data))) {
    open_ = false;
  }
}

void ServerProtocol::send_status(StreamId stream, StatusCode code, std::string_view message) {
  envelope::Response response;
  response.mutable_status()->set_code(std::to_underlying(code));
  response.mutable_status()->set_message(printable(message, kMaxErrorText));
  send_frame(FrameType::Response, stream, 0, as_bytes(serialize(response)));
}

void ServerProtocol::end_with_error(StreamId stream, StatusCode code, std::string_view message) {
  send_status(stream, code, message);
  cancel(stream);
}

std::shared_ptr<ServerProtocol::Call> ServerProtocol::find(StreamId stream) const {
  const auto found = calls_.find(stream);
  return found == calls_.end() ? nullptr : found->second;
}

std::shared_ptr<ServerProtocol::Call> ServerProtocol::take(StreamId stream) {
  auto node = calls_.extract(stream);
  if (node.empty()) {
    return nullptr;
  }
  if (node.mapped()->deadline) {
    deadlines_.erase({*node.mapped()->deadline, stream});
  }
  return std::move(node.mapped());
}

void ServerProtocol::cancel(StreamId stream) {
  const std::shared_ptr<Call> call = take(stream);
  if (call != nullptr && call->on_cancelled) {
    call->on_cancelled();
  }
}

void ServerProtocol::set_on_cancelled(StreamId stream, std::move_only_function<void()> callback) {
  if (const auto call = find(stream)) {
    call->on_cancelled = std::move(callback);
  }
}

void ServerProtocol::respond(StreamId stream, std::string payload) {
  const auto self = shared_from_this();
  const auto call = take(stream);
  if (call == nullptr) {
    return;
  }
  envelope::Response response;
  response.set_payload(std::move(payload));
  const std::string data = serialize(response);
  if (data.size() > kMaxDataSize) {
    send_status(stream, StatusCode::ResourceExhausted,
                fmt::format("an answer of {} bytes is too big", data.size()));
    return;
  }
  send_frame(FrameType::Response, stream, 0, as_bytes(data));
}

void ServerProtocol::fail(StreamId stream, const Error& error) {
  if (const auto call = take(stream)) {
    send_status(stream, to_status_code(error.code()), error.message());
  }
}

Result<> ServerProtocol::send_message(StreamId stream, std::string_view payload) {
  if (!open_ || find(stream) == nullptr) {
    return Error(ErrorCode::Unavailable, "the call is over");
  }
  if (payload.size() > kMaxDataSize) {
    return bulkhead::fail(ErrorCode::Invalid, "a message of {} bytes is too big", payload.size());
  }
  send_frame(FrameType::Data, stream, 0, as_bytes(payload));
  return {};
}

void ServerProtocol::finish(StreamId stream) {
  if (const auto call = take(stream)) {
    send_frame(FrameType::Data, stream, kFlagRemoteClosed | kFlagNoData, {});
  }
}

void ServerProtocol::close() {
  const auto self = shared_from_this();
  open_ = false;
  while (!calls_.empty()) {
    cancel(calls_.begin()->first);
  }
}

std::optional<SteadyTime> ServerProtocol::next_deadline() const {
  if (deadlines_.empty()) {
    return std::nullopt;
  }
  return deadlines_.begin()->first;
}

void ServerProtocol::expire(SteadyTime now) {
  const auto self = shared_from_this();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    end_with_error(deadlines_.begin()->second, StatusCode::DeadlineExceeded,
                   "context deadline exceeded");
  }
}

}  // namespace bulkhead::ttrpc
