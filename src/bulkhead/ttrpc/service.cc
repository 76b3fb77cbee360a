#include "bulkhead/ttrpc/service.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/server_protocol.h"

namespace bulkhead::ttrpc {

IncomingCall::IncomingCall(std::weak_ptr<ServerProtocol> protocol, StreamId stream,
                           std::shared_ptr<const CallContext> context, std::string payload)
    : protocol_(std::move(protocol)),
      stream_(stream),
      context_(std::move(context)),
      payload_(std::move(payload)) {}

IncomingCall::IncomingCall(IncomingCall&& other) noexcept
    : protocol_(std::move(other.protocol_)),
      stream_(other.stream_),
      context_(std::move(other.context_)),
      payload_(std::move(other.payload_)),
      ended_(std::exchange(other.ended_, true)) {}

IncomingCall& IncomingCall::operator=(IncomingCall&& other) noexcept {
  if (this != &other) {
    IncomingCall old(std::move(*this));
    protocol_ = std::move(other.protocol_);
    stream_ = other.stream_;
    context_ = std::move(other.context_);
    payload_ = std::move(other.payload_);
    ended_ = std::exchange(other.ended_, true);
  }
  return *this;
}

IncomingCall::~IncomingCall() {
  fail({ErrorCode::Internal, "the call was dropped without an answer"});
}

std::shared_ptr<ServerProtocol> IncomingCall::take() {
  return std::exchange(ended_, true) ? nullptr : protocol_.lock();
}

bool IncomingCall::is_active() const {
  const auto protocol = protocol_.lock();
  return !ended_ && protocol != nullptr && protocol->find(stream_) != nullptr;
}

void IncomingCall::on_cancelled(std::move_only_function<void()> callback) {
  if (const auto protocol = protocol_.lock(); protocol != nullptr && !ended_) {
    protocol->set_on_cancelled(stream_, std::move(callback));
  }
}

void IncomingCall::respond(std::string payload) {
  if (const auto protocol = take()) {
    protocol->respond(stream_, std::move(payload));
  }
}

void IncomingCall::fail(const Error& error) {
  if (const auto protocol = take()) {
    protocol->fail(stream_, error);
  }
}

Result<> IncomingCall::send(std::string_view payload) {
  const auto protocol = protocol_.lock();
  if (protocol == nullptr || ended_) {
    return Error(ErrorCode::Unavailable, "the call is over");
  }
  return protocol->send_message(stream_, payload);
}

void IncomingCall::finish() {
  if (const auto protocol = take()) {
    protocol->finish(stream_);
  }
}

void IncomingCall::read(std::move_only_function<bool(Bytes)> on_message,
                        std::move_only_function<void()> on_end) {
  if (const auto protocol = protocol_.lock(); protocol != nullptr && !ended_) {
    protocol->read(stream_, std::move(on_message), std::move(on_end));
  }
}

Error unimplemented(const CallContext& context) {
  return bulkhead::fail(ErrorCode::Unsupported, "method {}: not implemented", context.method);
}

}  // namespace bulkhead::ttrpc
