#include "bulkhead/mux/session.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::mux {
namespace {

constexpr std::array<char, 8> kMagic = {'B', 'H', 'M', 'U', 'X', '\r', '\n', '\x1a'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHelloSize = sizeof(FrameHeader) + sizeof(HelloPayload);

/// Returned credit is gathered until it is worth a frame.
constexpr std::size_t kCreditBatch = kWindow / 2;

/// A host gives up on a guest that has sent this much without a Hello.
constexpr std::uint64_t kMaxScan = 4U << 20U;

/// How far control frames may pile up above the limit for data before the peer counts as dead.
constexpr std::size_t kMaxOutput = kOutputLimit + kMaxPayload + (256U << 10U);

constexpr std::size_t kFirstOutputSize = 16U << 10U;

std::uint16_t tag(std::uint64_t epoch) { return static_cast<std::uint16_t>(epoch & 0xffffU); }

const char* describe(std::uint32_t reason) {
  switch (ResetReason(reason)) {
    case ResetReason::Cancelled:
      return "cancelled";
    case ResetReason::Refused:
      return "refused";
    case ResetReason::Failed:
      return "failed";
  }
  return "unknown reason";
}

}  // namespace

struct Session::Stream {
  StreamEvents events;
  bool attached = false;
  bool end_sent = false;
  bool end_received = false;
  bool end_delivered = false;
  bool wants_write = false;
  bool has_turn = false;                 ///< it is in turns_
  std::size_t send_credit = kWindow;     ///< what we may still send
  std::size_t receive_credit = kWindow;  ///< what the peer may still send
  std::size_t unreturned = 0;            ///< consumed, but the peer has not been told
  std::vector<std::byte> waiting;        ///< came before attach(); at most kWindow
};

Session::Session(Role role, std::uint64_t epoch, SessionEvents events)
    : role_(role), epoch_(epoch), events_(std::move(events)) {
  if (role_ == Role::Host) {
    put_hello();
  }
}

Session::~Session() = default;

// --- streams ---

Session::StreamPtr Session::find(StreamId id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

Session::StreamPtr Session::add(StreamId id) {
  StreamPtr stream = std::make_shared<Stream>();
  streams_.emplace(id, stream);
  if (is_ours(id)) {
    last_ours_ = id;
    ++open_ours_;
  } else {
    last_theirs_ = id;
    ++open_theirs_;
  }
  return stream;
}

void Session::forget(StreamId id) {
  if (streams_.erase(id) != 0) {
    --(is_ours(id) ? open_ours_ : open_theirs_);
  }
}

void Session::forget_if_done(StreamId id, const Stream& stream) {
  if (stream.end_sent && stream.end_delivered) {
    forget(id);
  }
}

void Session::drop_all(const Error& error) {
  ready_ = false;
  over_ = over_ || role_ == Role::Host;
  flooded_ = false;
  last_ours_ = last_theirs_ = 0;
  open_ours_ = open_theirs_ = 0;
  turns_.clear();
  arrived_.clear();
  partial_size_ = data_left_ = 0;
  scanned_ = 0;
  output_begin_ = output_end_ = reserved_ = 0;
  const auto dropped = std::exchange(streams_, {});
  for (const auto& [id, stream] : dropped) {
    if (stream->events.on_reset) {
      stream->events.on_reset(error);
    }
  }
}

void Session::work() {
  if (events_.on_work && !over_) {
    events_.on_work();
  }
}

Result<> Session::open(StreamId id, StreamEvents events) {
  if (over_ || (role_ == Role::Guest && !ready_)) {
    return fail(ErrorCode::Unavailable, "stream {}: there is no session", id);
  }
  if (id == 0 || !is_ours(id) || id <= last_ours_) {
    return fail(ErrorCode::Invalid, "stream {}: not an id that can be opened", id);
  }
  if (open_ours_ >= kMaxStreams) {
    return fail(ErrorCode::ResourceExhausted, "stream {}: {} streams are open", id, open_ours_);
  }
  const StreamPtr stream = add(id);
  stream->events = std::move(events);
  stream->attached = true;
  put_frame(FrameType::Open, id, 0);
  return {};
}

Result<> Session::attach(StreamId id, StreamEvents events) {
  const StreamPtr stream = find(id);
  if (stream == nullptr || stream->attached) {
    return fail(ErrorCode::NotFound, "stream {}: nobody has opened it", id);
  }
  stream->events = std::move(events);
  stream->attached = true;
  if (!stream->waiting.empty() || stream->end_received) {
    arrived_.push_back(id);
    work();
  }
  return {};
}

std::size_t Session::writable(StreamId id) const {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second->end_sent || !has_room()) {
    return 0;
  }
  return std::min(found->second->send_credit, kMaxPayload);
}

Result<std::size_t> Session::write(StreamId id, Bytes data) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return fail(ErrorCode::NotFound, "stream {}: not open", id);
  }
  if (stream->end_sent) {
    return fail(ErrorCode::FailedPrecondition, "stream {}: ended", id);
  }
  const MutableBytes room = reserve(id, data.size());
  copy_bytes(data.first(room.size()), room);
  commit(id, room.size());
  return room.size();
}

MutableBytes Session::reserve(StreamId id, std::size_t limit) {
  const std::size_t size = std::min(limit, writable(id));
  if (size == 0) {
    return {};
  }
  reserved_ = size;
  return grow_output(sizeof(FrameHeader) + size).subspan(sizeof(FrameHeader));
}

void Session::commit(StreamId id, std::size_t size) {
  BH_CHECK(size <= reserved_);
  reserved_ = 0;
  const StreamPtr stream = find(id);
  if (size == 0 || stream == nullptr) {
    return;
  }
  stream->send_credit -= size;
  put_frame(FrameType::Data, id, static_cast<std::uint32_t>(size));
  output_end_ += size;
}

void Session::want_write(StreamId id) {
  const StreamPtr stream = find(id);
  if (stream != nullptr && !stream->end_sent) {
    stream->wants_write = true;
    take_turn(id, *stream);
  }
}

void Session::take_turn(StreamId id, Stream& stream) {
  if (stream.wants_write && stream.send_credit != 0 && !stream.has_turn) {
    stream.has_turn = true;
    turns_.push_back(id);
    work();
  }
}

void Session::consume(StreamId id, std::size_t size) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return;
  }
  stream->unreturned += size;
  BH_CHECK(stream->unreturned + stream->receive_credit <= kWindow);
  if (stream->unreturned >= kCreditBatch && !stream->end_received) {
    stream->receive_credit += stream->unreturned;
    put_frame(FrameType::Credit, id, static_cast<std::uint32_t>(stream->unreturned));
    stream->unreturned = 0;
  }
}

void Session::end(StreamId id) {
  const StreamPtr stream = find(id);
  if (stream == nullptr || stream->end_sent) {
    return;
  }
  stream->end_sent = true;
  put_frame(FrameType::End, id, 0);
  forget_if_done(id, *stream);
}

void Session::reset(StreamId id, ResetReason reason) {
  if (streams_.contains(id)) {
    put_frame(FrameType::Reset, id, std::to_underlying(reason));
    forget(id);
  }
}

void Session::process() {
  while (!arrived_.empty()) {
    const StreamId id = arrived_.front();
    arrived_.pop_front();
    deliver_waiting(id);
  }
  // Rounds of one frame for each stream, until nothing more fits or nobody writes.
  std::size_t before = 0;
  do {
    before = output_end_;
    for (std::size_t left = turns_.size(); left != 0 && !turns_.empty() && has_room(); --left) {
      const StreamId id = turns_.front();
      turns_.pop_front();
      const StreamPtr stream = find(id);
      if (stream == nullptr) {
        continue;
      }
      stream->has_turn = false;
      if (std::exchange(stream->wants_write, false) && stream->events.on_writable) {
        stream->events.on_writable();
      }
    }
  } while (output_end_ != before && has_room());
}

void Session::deliver_waiting(StreamId id) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return;
  }
  const std::vector<std::byte> waiting = std::exchange(stream->waiting, {});
  if (!waiting.empty()) {
    if (stream->events.on_data) {
      stream->events.on_data(waiting);
    } else {
      consume(id, waiting.size());
    }
  }
  if (stream->end_received && !stream->end_delivered && streams_.contains(id)) {
    stream->end_delivered = true;
    if (stream->events.on_end) {
      stream->events.on_end();
    }
    forget_if_done(id, *stream);
  }
}

void Session::disconnect(const Error& error) { drop_all(error); }

void Session::shutdown() {
  over_ = true;
  ready_ = false;
  turns_.clear();
  arrived_.clear();
  output_begin_ = output_end_ = reserved_ = 0;
  // Callbacks that are running are kept by their callers.
  streams_.clear();
}

// --- output ---

bool Session::has_room() const { return output_end_ - output_begin_ < kOutputLimit && !over_; }

MutableBytes Session::grow_output(std::size_t size) {
  if (output_end_ + size > output_.size()) {
    const std::size_t pending = output_end_ - output_begin_;
    if (output_begin_ != 0) {
      std::memmove(output_.data(), output_.data() + output_begin_, pending);
      output_begin_ = 0;
      output_end_ = pending;
    }
    if (2 * (pending + size) > output_.size()) {
      // Twice what is pending, so that moves stay rare.
      output_.resize(std::max(kFirstOutputSize, std::bit_ceil(2 * (pending + size))));
    }
  }
  return std::span(output_).subspan(output_end_, size);
}

void Session::put_frame(FrameType type, StreamId id, std::uint32_t value) {
  if (over_) {
    return;
  }
  if (output_end_ - output_begin_ > kMaxOutput) {
    flooded_ = true;
    return;
  }
  const FrameHeader header{.type = std::to_underlying(type),
                           .reserved = 0,
                           .epoch = tag(epoch_),
                           .stream = id,
                           .value = value};
  copy_bytes(object_bytes(header), grow_output(sizeof header));
  output_end_ += sizeof header;
  work();
}

void Session::put_hello() {
  const HelloPayload hello{
      .magic = kMagic, .epoch = epoch_, .version = kVersion, .role = role_ == Role::Host ? 0U : 1U};
  put_frame(FrameType::Hello, 0, sizeof hello);
  copy_bytes(object_bytes(hello), grow_output(sizeof hello));
  output_end_ += sizeof hello;
}

Bytes Session::output() const {
  return std::span(output_).subspan(output_begin_, output_end_ - output_begin_);
}

void Session::consume_output(std::size_t size) {
  BH_CHECK(size <= output_end_ - output_begin_);
  output_begin_ += size;
  if (output_begin_ == output_end_) {
    output_begin_ = output_end_ = 0;
  }
  if (!turns_.empty() && has_room()) {
    work();
  }
}

// --- input ---

Result<> Session::receive(Bytes bytes) {
  Result<> result = parse(bytes);
  if (!result) {
    drop_all(result.error());
  }
  return result;
}

Result<> Session::parse(Bytes bytes) {
  while (!bytes.empty() && !over_) {
    if (!ready_) {
      scan_for_hello(bytes);
      if (partial_size_ == kHelloSize) {
        BH_TRY(on_hello());
      } else if (role_ == Role::Host && scanned_ > kMaxScan) {
        return fail(ErrorCode::Corrupt, "mux: {} bytes without a hello", scanned_);
      }
    } else if (data_left_ != 0) {
      const Bytes piece = bytes.first(std::min(bytes.size(), data_left_));
      bytes = bytes.subspan(piece.size());
      data_left_ -= piece.size();
      deliver(piece);
    } else {
      BH_TRY(on_header(bytes));
    }
    if (flooded_) {
      return Error(ErrorCode::ResourceExhausted, "mux: the peer asks and does not read");
    }
  }
  return {};
}

bool Session::fill_partial(Bytes& bytes, std::size_t size) {
  const std::size_t more = std::min(bytes.size(), size - partial_size_);
  copy_bytes(bytes.first(more), std::span(partial_).subspan(partial_size_));
  partial_size_ += more;
  bytes = bytes.subspan(more);
  return partial_size_ == size;
}

bool Session::is_hello(Bytes bytes) const {
  FrameHeader header;
  HelloPayload hello;
  copy_bytes(bytes.first(sizeof header), object_bytes(header));
  copy_bytes(bytes.subspan(sizeof header), object_bytes(hello));
  return header.type == std::to_underlying(FrameType::Hello) && header.reserved == 0 &&
         header.stream == 0 && header.value == sizeof hello && hello.magic == kMagic &&
         header.epoch == tag(hello.epoch) && hello.role == (role_ == Role::Host ? 1U : 0U) &&
         (role_ == Role::Guest || hello.epoch == epoch_);
}

/// Fills partial_ with the next Hello, or with what may be the beginning of one.
void Session::scan_for_hello(Bytes& bytes) {
  while (fill_partial(bytes, kHelloSize) && !is_hello(partial_)) {
    // On to the next byte that a Hello may begin with.
    const auto next = std::ranges::find(partial_.begin() + 1, partial_.end(),
                                        std::byte(std::to_underlying(FrameType::Hello)));
    scanned_ += static_cast<std::uint64_t>(next - partial_.begin());
    partial_size_ = static_cast<std::size_t>(std::copy(next, partial_.end(), partial_.begin()) -
                                             partial_.begin());
  }
}

/// partial_ is a Hello.
Result<> Session::on_hello() {
  HelloPayload hello;
  copy_bytes(std::span(partial_).subspan(sizeof(FrameHeader)), object_bytes(hello));
  partial_size_ = 0;
  scanned_ = 0;
  if (role_ == Role::Guest) {
    if (!streams_.empty()) {
      drop_all({ErrorCode::Unavailable, "mux: the host began a new session"});
      if (over_) {
        return {};
      }
    }
    output_begin_ = output_end_ = 0;
    epoch_ = hello.epoch;
    last_ours_ = last_theirs_ = 0;
    // Also when the version is not ours: it tells the host which one is.
    put_hello();
  }
  ready_ = hello.version == kVersion;
  if (!ready_) {
    return fail(ErrorCode::Unsupported, "mux: the peer speaks version {}, not {}",
                std::uint32_t{hello.version}, kVersion);
  }
  if (events_.on_ready) {
    events_.on_ready();
  }
  return {};
}

Result<> Session::on_header(Bytes& bytes) {
  if (partial_size_ < sizeof(FrameHeader) && !fill_partial(bytes, sizeof(FrameHeader))) {
    return {};
  }
  FrameHeader header;
  copy_bytes(std::span(partial_).first(sizeof header), object_bytes(header));
  if (header.type == std::to_underlying(FrameType::Hello)) {
    if (!fill_partial(bytes, kHelloSize)) {
      return {};
    }
    if (role_ == Role::Host || !is_hello(partial_)) {
      return Error(ErrorCode::Corrupt, "mux: unexpected hello");
    }
    return on_hello();
  }
  partial_size_ = 0;
  if (header.reserved != 0 || header.epoch != tag(epoch_)) {
    return fail(ErrorCode::Corrupt, "mux: frame of type {} with a bad header", header.type);
  }
  return on_frame(header);
}

Result<> Session::on_frame(const FrameHeader& header) {
  const StreamId id = header.stream;
  if (header.type == std::to_underlying(FrameType::Open)) {
    return on_open(id);
  }
  // A stream that is gone on our side may still be there on the peer's, but not one that never was.
  if (id == 0 || id > (is_ours(id) ? last_ours_ : last_theirs_)) {
    return fail(ErrorCode::Corrupt, "mux: frame of type {} for stream {}, never opened",
                header.type, id);
  }
  switch (FrameType(header.type)) {
    case FrameType::Data:
      return on_data_header(id, header.value);
    case FrameType::Credit:
      return on_credit(id, header.value);
    case FrameType::End:
      return on_end(id);
    case FrameType::Reset:
      return on_reset(id, header.value);
    case FrameType::Hello:
    case FrameType::Open:
      break;
  }
  return fail(ErrorCode::Corrupt, "mux: frame of unknown type {}", header.type);
}

Result<> Session::on_open(StreamId id) {
  if (id == 0 || is_ours(id) || id <= last_theirs_) {
    return fail(ErrorCode::Corrupt, "mux: the peer opened stream {}, which it may not", id);
  }
  if (open_theirs_ >= kMaxStreams) {
    return fail(ErrorCode::ResourceExhausted, "mux: the peer opened more than {} streams",
                kMaxStreams);
  }
  add(id);
  if (events_.on_open) {
    events_.on_open(id);
  } else {
    reset(id, ResetReason::Refused);
  }
  return {};
}

Result<> Session::on_data_header(StreamId id, std::uint32_t length) {
  if (length == 0 || length > kMaxPayload) {
    return fail(ErrorCode::Corrupt, "mux: stream {}: data frame of {} bytes", id, length);
  }
  data_stream_ = id;
  data_left_ = length;
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return {};
  }
  if (stream->end_received) {
    return fail(ErrorCode::Corrupt, "mux: stream {}: data after its end", id);
  }
  if (length > stream->receive_credit) {
    return fail(ErrorCode::Corrupt, "mux: stream {}: {} bytes of data, {} of window", id, length,
                stream->receive_credit);
  }
  stream->receive_credit -= length;
  return {};
}

void Session::deliver(Bytes bytes) {
  const StreamPtr stream = find(data_stream_);
  if (stream == nullptr) {
    return;
  }
  if (!stream->attached || !stream->waiting.empty()) {
    stream->waiting.insert(stream->waiting.end(), bytes.begin(), bytes.end());
  } else if (stream->events.on_data) {
    stream->events.on_data(bytes);
  } else {
    consume(data_stream_, bytes.size());
  }
}

Result<> Session::on_credit(StreamId id, std::uint32_t size) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return {};
  }
  if (size == 0 || size > kWindow - stream->send_credit) {
    return fail(ErrorCode::Corrupt, "mux: stream {}: credit of {} bytes on top of {}", id, size,
                stream->send_credit);
  }
  stream->send_credit += size;
  take_turn(id, *stream);
  return {};
}

Result<> Session::on_end(StreamId id) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return {};
  }
  if (stream->end_received) {
    return fail(ErrorCode::Corrupt, "mux: stream {}: ended twice", id);
  }
  stream->end_received = true;
  if (!stream->attached || !stream->waiting.empty()) {
    return {};
  }
  stream->end_delivered = true;
  if (stream->events.on_end) {
    stream->events.on_end();
  }
  forget_if_done(id, *stream);
  return {};
}

Result<> Session::on_reset(StreamId id, std::uint32_t reason) {
  const StreamPtr stream = find(id);
  if (stream == nullptr) {
    return {};
  }
  forget(id);
  if (stream->events.on_reset) {
    stream->events.on_reset(
        fail(ErrorCode::Cancelled, "stream {}: reset by the peer: {}", id, describe(reason)));
  }
  return {};
}

}  // namespace bulkhead::mux
