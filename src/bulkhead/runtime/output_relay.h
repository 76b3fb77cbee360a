#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {

/// One output of a process: from its multiplexer stream to a FIFO or file, and to the log. What the
/// FIFO's reader does not take stays in the stream's window, so that a slow reader slows down that
/// process and nothing else. A reader that goes away ends only its own part: the log goes on.
class OutputRelay {
 public:
  struct Options {
    StdioTarget target;
    ContainerLog* log = nullptr;  ///< outlives the relay
    OutputStream stream = OutputStream::Stdout;
    /// How long bytes wait for somebody to open the FIFO for reading.
    std::chrono::milliseconds reader_patience{30000};
    /// How long the guest may take to say what is still on its way, once its process has ended.
    std::chrono::milliseconds guest_patience{10000};
  };

  /// Errors: Invalid when the target is not what it should be, and what opening it gives. A FIFO
  /// that nobody reads yet is opened as soon as somebody does.
  static Result<std::unique_ptr<OutputRelay>> create(os::EventLoop& loop, Options options);

  OutputRelay(const OutputRelay&) = delete;
  OutputRelay& operator=(const OutputRelay&) = delete;
  ~OutputRelay();

  /// Opens the stream. Errors: as Session::open.
  Result<> attach(std::weak_ptr<mux::Session> session, mux::StreamId id);

  /// The process has ended: its last bytes are on their way. Calls back, from the loop, when the
  /// stream has ended (or the guest took too long) and everything has been handed over.
  void drain(std::move_only_function<void()> done);

  /// Drops what has not been handed over: drain() is done.
  void abandon();

 private:
  OutputRelay(os::EventLoop& loop, Options options);

  Result<> open_target();
  Result<bool> try_open_fifo();
  void retry_open();
  void on_data(Bytes bytes);
  void on_stream_over();
  void write_pending();
  Bytes write_sink(Bytes bytes);
  void watch_sink(bool wanted);
  void drop_sink(const Error& cause);
  void consume(std::size_t size);
  void give_up_on_guest();
  void check_drained();

  os::EventLoop& loop_;
  Options options_;
  std::weak_ptr<mux::Session> session_;
  mux::StreamId id_ = 0;
  os::UniqueFd sink_;
  bool sink_is_fifo_ = false;
  bool sink_is_watched_ = false;
  bool waits_for_reader_ = false;
  std::string pending_;  ///< at most the stream's window
  std::size_t pending_begin_ = 0;
  bool stream_over_ = true;  ///< or never begun
  std::move_only_function<void()> drained_;
  os::EventLoop::TimerId open_timer_ = 0;
  os::EventLoop::TimerId reader_timer_ = 0;
  os::EventLoop::TimerId guest_timer_ = 0;
  os::EventLoop::TimerId done_timer_ = 0;
  std::chrono::milliseconds next_retry_{2};
};

}  // namespace bulkhead::runtime
