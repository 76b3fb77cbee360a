#include "bulkhead/ttrpc/client_protocol.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/codec.h"
#include "bulkhead/ttrpc/envelope.pb.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/status.h"

namespace bulkhead::ttrpc {
namespace {

/// A deadline further away is none.
constexpr std::chrono::hours kLongestTimeout{24 * 365};

}  // namespace

/// Either `done` (the server answers once) or `events` (it streams) is set.
struct ClientProtocol::Call {
  UnaryDone done;
  StreamEvents events;
  bool sending = false;  ///< we may still send messages
  std::optional<SteadyTime> deadline;
};

std::shared_ptr<ClientProtocol> ClientProtocol::create(Send send) {
  // make_shared cannot reach the constructor
  return std::shared_ptr<ClientProtocol>(new ClientProtocol(std::move(send)));
}

Result<StreamId> ClientProtocol::begin(std::string_view service, std::string_view method,
                                       std::string payload, std::uint8_t flags,
                                       const CallOptions& options, SteadyTime now,
                                       std::shared_ptr<Call> call) {
  if (!open_) {
    return fail(ErrorCode::Unavailable, "{}: the connection is closed", method);
  }
  if (last_stream_ >= std::numeric_limits<StreamId>::max() - 1) {
    return fail(ErrorCode::Unavailable, "{}: the connection has no stream ids left", method);
  }
  envelope::Request request;
  request.set_service(std::string(service));
  request.set_method(std::string(method));
  request.set_payload(std::move(payload));
  for (const auto& [key, value] : options.metadata) {
    envelope::KeyValue* pair = request.add_metadata();
    pair->set_key(key);
    pair->set_value(value);
  }
  if (options.timeout.count() > 0) {
    request.set_timeout_nano(options.timeout.count());
    if (options.timeout < kLongestTimeout) {
      call->deadline = now + options.timeout;
    }
  }
  const std::string data = serialize(request);
  if (data.size() > kMaxDataSize) {
    return fail(ErrorCode::Invalid, "{}: a request of {} bytes is too big", method, data.size());
  }
  const StreamId stream = last_stream_ == 0 ? 1 : last_stream_ + 2;
  BH_TRY(send_(make_frame(FrameType::Request, stream, flags, as_bytes(data))));
  last_stream_ = stream;
  if (call->deadline) {
    deadlines_.emplace(*call->deadline, stream);
  }
  calls_.emplace(stream, std::move(call));
  return stream;
}

Result<StreamId> ClientProtocol::call(std::string_view service, std::string_view method,
                                      std::string payload, const CallOptions& options,
                                      SteadyTime now, UnaryDone& done) {
  auto call = std::make_shared<Call>();
  const StreamId stream = BH_TRY(begin(service, method, std::move(payload), 0, options, now, call));
  call->done = std::move(done);
  return stream;
}

Result<StreamId> ClientProtocol::open(std::string_view service, std::string_view method,
                                      std::optional<std::string> payload,
                                      const CallOptions& options, SteadyTime now,
                                      StreamEvents& events) {
  auto call = std::make_shared<Call>();
  call->sending = !payload;
  const std::uint8_t flags = payload ? kFlagRemoteClosed : kFlagRemoteOpen;
  const StreamId stream =
      BH_TRY(begin(service, method, std::move(payload).value_or(""), flags, options, now, call));
  call->events = std::move(events);
  return stream;
}

Result<StreamId> ClientProtocol::open_upload(std::string_view service, std::string_view method,
                                             const CallOptions& options, SteadyTime now,
                                             UnaryDone& done) {
  auto call = std::make_shared<Call>();
  call->sending = true;
  const StreamId stream = BH_TRY(begin(service, method, {}, kFlagRemoteOpen, options, now, call));
  call->done = std::move(done);
  return stream;
}

Result<> ClientProtocol::write(StreamId stream, std::string_view payload) {
  const auto found = calls_.find(stream);
  if (found == calls_.end()) {
    return fail(ErrorCode::Unavailable, "stream {}: the call is over", stream);
  }
  if (!found->second->sending) {
    return fail(ErrorCode::FailedPrecondition, "stream {}: closed for sending", stream);
  }
  if (payload.size() > kMaxDataSize) {
    return fail(ErrorCode::Invalid, "stream {}: a message of {} bytes is too big", stream,
                payload.size());
  }
  return send_(make_frame(FrameType::Data, stream, 0, as_bytes(payload)));
}

Result<> ClientProtocol::close_send(StreamId stream) {
  const auto found = calls_.find(stream);
  if (found == calls_.end() || !found->second->sending) {
    return {};
  }
  found->second->sending = false;
  return send_(make_frame(FrameType::Data, stream, kFlagRemoteClosed | kFlagNoData, {}));
}

void ClientProtocol::cancel(StreamId stream) { take(stream); }

std::shared_ptr<ClientProtocol::Call> ClientProtocol::take(StreamId stream) {
  auto node = calls_.extract(stream);
  if (node.empty()) {
    return nullptr;
  }
  std::shared_ptr<Call> call = std::move(node.mapped());
  if (call->deadline) {
    deadlines_.erase({*call->deadline, stream});
  }
  return call;
}

void ClientProtocol::end(StreamId stream, Result<std::string> result) {
  const std::shared_ptr<Call> call = take(stream);
  if (call == nullptr) {
    return;
  }
  if (call->done) {
    call->done(std::move(result));
  } else if (result) {
    call->events.on_end({});
  } else {
    call->events.on_end(std::move(result).error());
  }
}

void ClientProtocol::receive(Bytes bytes) {
  const auto self = shared_from_this();
  reader_.feed(bytes, [this](const FrameHeader& header, Bytes data, bool oversized) {
    if (open_) {
      on_frame(header, data, oversized);
    }
    return open_;
  });
}

void ClientProtocol::on_frame(const FrameHeader& header, Bytes data, bool oversized) {
  const StreamId stream = header.stream;
  if (!calls_.contains(stream)) {
    return;  // given up by us, answered twice, or never asked
  }
  if (oversized) {
    end(stream, fail(ErrorCode::ResourceExhausted, "answer: more than {} bytes", kMaxDataSize));
  } else if (header.type == std::to_underlying(FrameType::Response)) {
    on_response(stream, data);
  } else if (header.type == std::to_underlying(FrameType::Data)) {
    on_data(header, data);
  } else {
    end(stream, fail(ErrorCode::Corrupt, "answer: unexpected frame type {}", header.type));
  }
}

void ClientProtocol::on_response(StreamId stream, Bytes data) {
  envelope::Response response;
  if (!parse(response, data)) {
    end(stream, Error(ErrorCode::Corrupt, "answer: not a valid response"));
    return;
  }
  if (response.status().code() != std::to_underlying(StatusCode::Ok)) {
    end(stream, error_from_status(response.status().code(), response.status().message()));
    return;
  }
  const std::shared_ptr<Call> call = calls_.at(stream);
  if (!call->done && !response.payload().empty() &&
      !call->events.on_message(as_bytes(response.payload()))) {
    end(stream, Error(ErrorCode::Corrupt, "answer: not a valid message"));
    return;
  }
  end(stream, std::move(*response.mutable_payload()));
}

void ClientProtocol::on_data(const FrameHeader& header, Bytes data) {
  const StreamId stream = header.stream;
  const std::shared_ptr<Call> call = calls_.at(stream);
  if (call->done) {
    end(stream, Error(ErrorCode::Corrupt, "answer: data from a server that does not stream"));
    return;
  }
  if ((header.flags & kFlagNoData) == 0 && !call->events.on_message(data)) {
    end(stream, Error(ErrorCode::Corrupt, "answer: not a valid message"));
    return;
  }
  if ((header.flags & kFlagRemoteClosed) != 0) {
    end(stream, std::string());
  }
}

void ClientProtocol::close(const Error& error) {
  const auto self = shared_from_this();
  open_ = false;
  deadlines_.clear();
  while (!calls_.empty()) {
    end(calls_.begin()->first, error);
  }
}

std::optional<SteadyTime> ClientProtocol::next_deadline() const {
  if (deadlines_.empty()) {
    return std::nullopt;
  }
  return deadlines_.begin()->first;
}

void ClientProtocol::expire(SteadyTime now) {
  const auto self = shared_from_this();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    end(deadlines_.begin()->second, Error(ErrorCode::Timeout, "no answer in time"));
  }
}

Result<> ClientStreamHandle::write(std::string_view payload) {
  const auto protocol = protocol_.lock();
  if (protocol == nullptr) {
    return Error(ErrorCode::Unavailable, "the connection is closed");
  }
  return protocol->write(stream_, payload);
}

Result<> ClientStreamHandle::close_send() {
  const auto protocol = protocol_.lock();
  return protocol == nullptr ? Result<>() : protocol->close_send(stream_);
}

void ClientStreamHandle::cancel() {
  if (const auto protocol = protocol_.lock()) {
    protocol->cancel(stream_);
  }
}

}  // namespace bulkhead::ttrpc
