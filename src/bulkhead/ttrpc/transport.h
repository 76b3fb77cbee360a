#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ttrpc {

/// A byte stream in both directions, driven by an event loop. Its owner may destroy it in any of
/// its callbacks.
class Transport {
 public:
  using BytesCallback = std::move_only_function<void(Bytes)>;
  using ClosedCallback = std::move_only_function<void(Error)>;

  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// Begins to deliver, from the loop, never from inside a call of this class. `on_closed` comes
  /// once, last, for end of file too (code Unavailable).
  virtual Result<> start(BytesCallback on_bytes, ClosedCallback on_closed) = 0;

  /// Sends now or queues. Errors: ResourceExhausted when the peer does not read and the queue's
  /// bound is reached: give up on the peer, a part of its stream is missing; Unavailable when
  /// closed.
  virtual Result<> send(std::string bytes) = 0;

  /// Bytes accepted by send() that are still here.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
};

struct FdTransportOptions {
  std::size_t max_queued_bytes = 16U << 20U;
};

/// Over a connected socket, which is made non-blocking.
Result<std::unique_ptr<Transport>> make_fd_transport(os::EventLoop& loop, os::UniqueFd socket,
                                                     FdTransportOptions options = {});

}  // namespace bulkhead::ttrpc
