#pragma once

// Many byte streams over one, between the host's shim and the guest's PID 1.
//
// The host begins: it sends Hello with a fresh epoch and may go on at once. The guest answers
// Hello. Until a side has seen the other's Hello it discards bytes: they are the remains of a
// session that a saved machine had. A Hello in mid-session makes the guest drop every stream and
// start over.
//
// Each stream has a window in each direction: a sender may have kWindow bytes outstanding that the
// receiver has not consumed, so that a reader that stalls stalls only its own stream. The host
// opens odd streams, the guest even ones, in increasing order, never twice. Each direction ends by
// itself (End); Reset ends both at once. The whole format: docs/formats/mux.md.
//
// A state machine: bytes in, callbacks and bytes out. Connection binds it to a descriptor.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::mux {

using StreamId = std::uint32_t;

/// The agent's ttrpc.
inline constexpr StreamId kRpcStream = 1;

inline constexpr std::size_t kMaxPayload = 64U << 10U;  ///< of one frame
inline constexpr std::size_t kWindow = 256U << 10U;     ///< per stream and direction
inline constexpr std::size_t kMaxStreams = 1024;        ///< open at a time
inline constexpr std::size_t kOutputLimit = 256U << 10U;

enum class Role : std::uint8_t { Host, Guest };

enum class FrameType : std::uint8_t {
  Hello = 1,   ///< value: length of the payload
  Open = 2,    ///< value 0
  Data = 3,    ///< value: length of the payload, 1 to kMaxPayload
  Credit = 4,  ///< value: bytes that the receiver has consumed
  End = 5,     ///< value 0; no more data in this direction
  Reset = 6,   ///< value: ResetReason
};

enum class ResetReason : std::uint32_t {
  Cancelled = 1,  ///< the side that sends it has no more use for the stream
  Refused = 2,    ///< the stream is not wanted
  Failed = 3,     ///< what feeds the stream broke
};

struct FrameHeader {
  std::uint8_t type = 0;
  std::uint8_t reserved = 0;
  le16 epoch;  ///< low 16 bits of the session's
  le32 stream;
  le32 value;
};

static_assert(sizeof(FrameHeader) == 12 && alignof(FrameHeader) == 1);

struct HelloPayload {
  std::array<char, 8> magic;  ///< "BHMUX\r\n\x1a"
  le64 epoch;
  le32 version;  ///< 1
  le32 role;     ///< 0 host, 1 guest
};

static_assert(sizeof(HelloPayload) == 24 && alignof(HelloPayload) == 1);

/// What the user of a stream hears; all optional. Callbacks may use the session freely, also to
/// reset their own stream.
struct StreamEvents {
  /// Bytes of the peer, valid during the call. Every byte must be given back by Session::consume()
  /// once it is out of the way, or the peer's window runs dry.
  std::move_only_function<void(Bytes)> on_data;
  /// The peer has ended its direction: no more on_data.
  std::move_only_function<void()> on_end;
  /// The answer to Session::want_write(): at least one byte can be written now.
  std::move_only_function<void()> on_writable;
  /// The stream is gone before both sides ended it: reset by the peer (Cancelled), or with the
  /// session (Unavailable, or what broke it). Last.
  std::move_only_function<void(const Error&)> on_reset;
};

struct SessionEvents {
  /// Hellos are exchanged; in the guest, again for each new session.
  std::move_only_function<void()> on_ready;
  /// The peer opened a stream, which waits for attach(). Absent: such streams are refused.
  std::move_only_function<void(StreamId)> on_open;
  /// Something is to be done: call process() and take output(), soon, not from here.
  std::move_only_function<void()> on_work;
};

class Session {
 public:
  /// `epoch` is random and only the host's matters.
  Session(Role role, std::uint64_t epoch, SessionEvents events);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] bool is_ready() const { return ready_; }

  /// Opens a stream. The host may do so before the session is ready. Ids only grow.
  /// Errors: Invalid for an id of the other side or one used before; ResourceExhausted; Unavailable
  /// in a guest without a session, or after an error.
  Result<> open(StreamId id, StreamEvents events);

  /// Takes a stream that the peer opened; what came before is delivered by process().
  /// Errors: NotFound when there is none of that id or it is attached already.
  Result<> attach(StreamId id, StreamEvents events);

  [[nodiscard]] bool is_open(StreamId id) const { return streams_.contains(id); }

  /// How many bytes write() or reserve() would take now.
  [[nodiscard]] std::size_t writable(StreamId id) const;

  /// Queues what fits of `data`, at most one frame, and returns how much that is; 0 means: ask with
  /// want_write(). Errors: NotFound when the stream is gone, FailedPrecondition after end().
  Result<std::size_t> write(StreamId id, Bytes data);

  /// Room for a frame's payload in the output itself, at most `limit` bytes, perhaps none. Fill a
  /// part of it and call commit() before anything else is done with the session.
  [[nodiscard]] MutableBytes reserve(StreamId id, std::size_t limit = kMaxPayload);
  void commit(StreamId id, std::size_t size);

  /// Asks for one call of on_writable, in turn with other streams: one frame each.
  void want_write(StreamId id);

  /// Returns `size` bytes of window to the peer. A stream that is gone is fine.
  void consume(StreamId id, std::size_t size);

  /// No more data from us. A stream that is gone is fine.
  void end(StreamId id);

  /// Ends both directions at once, without a callback. A stream that is gone is fine.
  void reset(StreamId id, ResetReason reason = ResetReason::Cancelled);

  /// Bytes of the peer. Errors: Corrupt when it breaks the protocol, Unsupported for another
  /// version, Unavailable when it ended the session by one. Every stream has been reset then. A
  /// host session is over; a guest's waits for the next Hello.
  Result<> receive(Bytes bytes);

  /// Calls on_writable of streams whose turn it is while there is room, and delivers what waited
  /// for attach().
  void process();

  /// What is to be sent, in one piece; consume_output() when that is done in part or in whole.
  [[nodiscard]] Bytes output() const;
  void consume_output(std::size_t size);

  /// The connection broke or is replaced: resets every stream with a copy of `error`. A guest
  /// session then waits for a Hello; a host session is over.
  void disconnect(const Error& error);

  /// Forgets everything, without callbacks.
  void shutdown();

 private:
  struct Stream;

  using StreamPtr = std::shared_ptr<Stream>;  // shared: a callback may reset its own stream

  [[nodiscard]] StreamPtr find(StreamId id) const;

  [[nodiscard]] bool is_ours(StreamId id) const { return (id % 2 == 1) == (role_ == Role::Host); }

  [[nodiscard]] std::size_t count(bool ours) const { return ours ? open_ours_ : open_theirs_; }

  StreamPtr add(StreamId id);
  void forget(StreamId id);
  void forget_if_done(StreamId id, const Stream& stream);
  void drop_all(const Error& error);
  void take_turn(StreamId id, Stream& stream);
  void deliver_waiting(StreamId id);
  void work();

  // Output.
  void put_frame(FrameType type, StreamId id, std::uint32_t value);
  void put_hello();
  [[nodiscard]] bool has_room() const;
  MutableBytes grow_output(std::size_t size);

  // Input.
  void scan_for_hello(Bytes& bytes);
  bool fill_partial(Bytes& bytes, std::size_t size);
  [[nodiscard]] bool is_hello(Bytes bytes) const;
  Result<> on_hello();
  Result<> on_header(Bytes& bytes);
  Result<> on_frame(const FrameHeader& header);
  Result<> on_open(StreamId id);
  Result<> on_data_header(StreamId id, std::uint32_t length);
  Result<> on_credit(StreamId id, std::uint32_t size);
  Result<> on_end(StreamId id);
  Result<> on_reset(StreamId id, std::uint32_t reason);
  void deliver(Bytes bytes);
  Result<> parse(Bytes bytes);

  Role role_;
  std::uint64_t epoch_;
  SessionEvents events_;
  bool ready_ = false;
  bool over_ = false;
  bool flooded_ = false;  ///< the peer makes us answer and does not read

  std::unordered_map<StreamId, StreamPtr> streams_;
  StreamId last_ours_ = 0;
  StreamId last_theirs_ = 0;
  std::size_t open_ours_ = 0;
  std::size_t open_theirs_ = 0;
  std::deque<StreamId> turns_;    ///< streams that want to write and have credit
  std::deque<StreamId> arrived_;  ///< attached streams with waiting bytes

  std::array<std::byte, sizeof(FrameHeader) + sizeof(HelloPayload)> partial_{};
  std::size_t partial_size_ = 0;
  std::size_t data_left_ = 0;  ///< of the payload that is coming in
  StreamId data_stream_ = 0;   ///< that it is for
  std::uint64_t scanned_ = 0;  ///< bytes discarded while waiting for Hello

  std::vector<std::byte> output_;
  std::size_t output_begin_ = 0;
  std::size_t output_end_ = 0;
  std::size_t reserved_ = 0;
};

}  // namespace bulkhead::mux
