#pragma once

// The server's half of ttrpc on one connection, as a state machine: bytes in, frames out, time
// passed in. What it does with bad input is what containerd's Go server does.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/status.h"

namespace bulkhead::ttrpc {

/// Services by the names they are called by. They must outlive every connection.
class ServiceTable {
 public:
  /// Under its own name, or under another one too (task v2 and v3 have the same messages).
  void add(Service& service) { add(service, std::string(service.name())); }

  void add(Service& service, std::string name);

  [[nodiscard]] Service* find(std::string_view name) const;

 private:
  std::map<std::string, Service*, std::less<>> services_;
};

struct ServerLimits {
  /// Calls at a time on one connection; one more is answered ResourceExhausted.
  std::size_t max_calls = 4096;
  /// Messages of a streaming client that may wait for a service that has not begun to read.
  std::size_t max_waiting_messages = 64;
  std::size_t max_waiting_bytes = 4U << 20U;
};

class ServerProtocol : public std::enable_shared_from_this<ServerProtocol> {
 public:
  using Send = std::move_only_function<Result<>(std::string frame)>;

  /// Frames go to `send`, which must not call back into this object; its first error closes the
  /// protocol.
  static std::shared_ptr<ServerProtocol> create(const ServiceTable& services, ServerLimits limits,
                                                Send send);

  /// Bytes of the client. Calls services.
  void receive(Bytes bytes, SteadyTime now);

  /// Cancels every call. Nothing is sent any more.
  void close();

  [[nodiscard]] bool is_open() const { return open_; }

  [[nodiscard]] std::size_t active_calls() const { return calls_.size(); }

  [[nodiscard]] std::optional<SteadyTime> next_deadline() const;

  /// Answers calls whose time is up with DeadlineExceeded and cancels them.
  void expire(SteadyTime now);

 private:
  friend class IncomingCall;
  struct Call;

  ServerProtocol(const ServiceTable& services, ServerLimits limits, Send send)
      : services_(services), limits_(limits), send_(std::move(send)) {}

  void on_frame(const FrameHeader& header, Bytes data, bool oversized, SteadyTime now);
  void on_request(const FrameHeader& header, Bytes data, SteadyTime now);
  void on_data(const FrameHeader& header, Bytes data);
  void serve(StreamId stream, Service& service, const Method& method,
             std::shared_ptr<const CallContext> context, std::string payload, std::uint8_t flags);
  void deliver(StreamId stream, const std::shared_ptr<Call>& call, Bytes message);
  void send_frame(FrameType type, StreamId stream, std::uint8_t flags, Bytes data);
  void send_status(StreamId stream, StatusCode code, std::string_view message);
  std::shared_ptr<Call> find(StreamId stream) const;
  std::shared_ptr<Call> take(StreamId stream);
  void cancel(StreamId stream);
  void end_with_error(StreamId stream, StatusCode code, std::string_view message);

  // For IncomingCall.
  void respond(StreamId stream, std::string payload);
  void fail(StreamId stream, const Error& error);
  Result<> send_message(StreamId stream, std::string_view payload);
  void finish(StreamId stream);
  void set_on_cancelled(StreamId stream, std::move_only_function<void()> callback);
  void read(StreamId stream, std::move_only_function<bool(Bytes)> on_message,
            std::move_only_function<void()> on_end);

  const ServiceTable& services_;
  ServerLimits limits_;
  Send send_;
  FrameReader reader_;
  std::unordered_map<StreamId, std::shared_ptr<Call>> calls_;  // shared: a service may end a call
                                                               // while it is being told something
  std::set<std::pair<SteadyTime, StreamId>> deadlines_;
  StreamId last_stream_ = 0;
  bool open_ = true;
};

}  // namespace bulkhead::ttrpc
