#pragma once

#include <cstdint>
#include <memory>

#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {

/// Whether standard input ends when its first writer closes it.
enum class StdinLife : std::uint8_t {
  UntilCloseIo,  ///< a writer that closes it may be followed by another
  Once,
};

/// The standard input of a process: from a FIFO to its multiplexer stream, as fast as the guest
/// takes it. When the guest has no more use for it the FIFO is closed and its writer gets EPIPE.
class InputRelay {
 public:
  /// Opens the FIFO, so that a writer can open it from now on.
  /// Errors: Invalid when it is none; what opening it gives.
  static Result<std::unique_ptr<InputRelay>> create(os::EventLoop& loop, const StdioTarget& target,
                                                    StdinLife life);

  InputRelay(const InputRelay&) = delete;
  InputRelay& operator=(const InputRelay&) = delete;
  ~InputRelay();

  /// Opens the stream and begins to relay. Errors: as Session::open.
  Result<> attach(std::weak_ptr<mux::Session> session, mux::StreamId id);

  /// CloseIO: what is in the FIFO now still goes to the guest, then end of file.
  void close_after_drain();

  /// No more input: the process has ended.
  void stop();

 private:
  explicit InputRelay(os::EventLoop& loop) : loop_(loop) {}

  void read_more();
  void watch(bool wanted);
  void finish();

  os::EventLoop& loop_;
  std::weak_ptr<mux::Session> session_;
  mux::StreamId id_ = 0;
  os::UniqueFd fifo_;
  os::UniqueFd keep_alive_;  ///< a writer of our own: without it the last writer means end of file
  bool is_watched_ = false;
  bool is_closing_ = false;
};

}  // namespace bulkhead::runtime
