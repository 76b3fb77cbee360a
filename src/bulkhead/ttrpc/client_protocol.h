#pragma once

// The client's half of ttrpc as a state machine: bytes in, frames out, time passed in. It knows
// nothing of descriptors or loops; Client binds it to them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/frame.h"

namespace bulkhead::ttrpc {

using UnaryDone = std::move_only_function<void(Result<std::string> payload)>;

struct StreamEvents {
  /// One message of the server. A false return ends the call as Corrupt.
  std::move_only_function<bool(Bytes payload)> on_message;
  std::move_only_function<void(Result<>)> on_end;  ///< once, last
};

class ClientProtocol : public std::enable_shared_from_this<ClientProtocol> {
 public:
  using Send = std::move_only_function<Result<>(std::string frame)>;

  /// Frames go to `send`, which must not call back into this object.
  static std::shared_ptr<ClientProtocol> create(Send send);

  /// Errors (then `done` is dropped): Unavailable when closed, Invalid when the request is too big,
  /// and those of `send`.
  Result<StreamId> call(std::string_view service, std::string_view method, std::string payload,
                        const CallOptions& options, SteadyTime now, UnaryDone& done);

  /// A call whose server streams: with `payload` the request is complete; without, the client
  /// streams too.
  Result<StreamId> open(std::string_view service, std::string_view method,
                        std::optional<std::string> payload, const CallOptions& options,
                        SteadyTime now, StreamEvents& events);

  /// A call whose client streams and whose server answers once.
  Result<StreamId> open_upload(std::string_view service, std::string_view method,
                               const CallOptions& options, SteadyTime now, UnaryDone& done);

  /// Errors: Unavailable when the call is over, FailedPrecondition after close_send().
  Result<> write(StreamId stream, std::string_view payload);
  Result<> close_send(StreamId stream);
  void cancel(StreamId stream);

  /// Bytes of the server. Answers that nobody waits for are ignored.
  void receive(Bytes bytes);

  /// Fails everything that is outstanding with a copy of `error`.
  void close(const Error& error);

  [[nodiscard]] bool is_open() const { return open_; }

  [[nodiscard]] std::size_t outstanding() const { return calls_.size(); }

  [[nodiscard]] std::optional<SteadyTime> next_deadline() const;

  /// Ends calls whose time is up with Timeout.
  void expire(SteadyTime now);

 private:
  struct Call;

  explicit ClientProtocol(Send send) : send_(std::move(send)) {}

  Result<StreamId> begin(std::string_view service, std::string_view method, std::string payload,
                         std::uint8_t flags, const CallOptions& options, SteadyTime now,
                         std::shared_ptr<Call> call);
  std::shared_ptr<Call> take(StreamId stream);
  void end(StreamId stream, Result<std::string> result);
  void on_frame(const FrameHeader& header, Bytes data, bool oversized);
  void on_response(StreamId stream, Bytes data);
  void on_data(const FrameHeader& header, Bytes data);

  Send send_;
  FrameReader reader_;
  std::map<StreamId, std::shared_ptr<Call>> calls_;  // shared: a callback may end its own call
  std::set<std::pair<SteadyTime, StreamId>> deadlines_;
  StreamId last_stream_ = 0;
  bool open_ = true;
};

/// The sending half of a streaming call, by its number. May outlive the connection.
class ClientStreamHandle {
 public:
  ClientStreamHandle() = default;

  ClientStreamHandle(std::weak_ptr<ClientProtocol> protocol, StreamId stream)
      : protocol_(std::move(protocol)), stream_(stream) {}

  Result<> write(std::string_view payload);
  Result<> close_send();
  void cancel();

 private:
  std::weak_ptr<ClientProtocol> protocol_;
  StreamId stream_ = 0;
};

}  // namespace bulkhead::ttrpc
