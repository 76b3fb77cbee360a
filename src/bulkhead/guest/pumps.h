#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"

// Bytes between a process's descriptors and the host's streams. A reader that stalls holds up its
// own stream and no other: when the host's window is used up, the pipe is not read, and the process
// that fills it waits; when the process does not read its stdin, what it has not read is not given
// back to the host's window, which bounds what is kept here.

namespace bulkhead::guest {

/// From a pipe's read end or a terminal's controller to a stream; stream 0 is nowhere.
class OutputPump : public std::enable_shared_from_this<OutputPump> {
 public:
  OutputPump(os::EventLoop& loop, std::weak_ptr<mux::Session> session, mux::StreamId stream,
             os::UniqueFd fd);
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;
  ~OutputPump();

  /// `on_done`: the descriptor has ended, every byte is in the stream and the stream's end too.
  Result<> start(std::move_only_function<void()> on_done);

  [[nodiscard]] bool is_done() const { return done_; }

  /// The process is gone but others hold its descriptors: takes what is there now and ends. False
  /// when it is the host who must read first.
  bool finish();

 private:
  enum class Step : std::uint8_t { More, Empty, Blocked, Ended };

  Result<> attach(mux::Session& session);
  Result<> watch();
  void on_readable();
  void on_writable();
  Step move_some();
  Step discard_some();
  void end();

  os::EventLoop& loop_;
  std::weak_ptr<mux::Session> session_;
  mux::StreamId stream_;
  os::UniqueFd fd_;
  std::move_only_function<void()> on_done_;
  bool blocked_ = false;  ///< not watched: the host's window is used up
  bool discarding_;       ///< nobody wants it, but the process shall not wait for that
  bool done_ = false;
};

/// From a stream to a pipe's write end or a terminal's controller.
class InputPump : public std::enable_shared_from_this<InputPump> {
 public:
  enum class AtEnd : std::uint8_t {
    Close,  ///< a pipe: its reader sees the end
    Keep,   ///< a terminal: there is no half of it to close
  };

  InputPump(os::EventLoop& loop, std::weak_ptr<mux::Session> session, mux::StreamId stream,
            os::UniqueFd fd, AtEnd at_end);
  InputPump(const InputPump&) = delete;
  InputPump& operator=(const InputPump&) = delete;
  ~InputPump();

  Result<> start();

  /// The process is gone: nobody reads any more.
  void stop();

 private:
  void on_data(Bytes bytes);
  void on_end();
  void write_pending();
  void close_if_drained();

  os::EventLoop& loop_;
  std::weak_ptr<mux::Session> session_;
  mux::StreamId stream_;
  os::UniqueFd fd_;
  AtEnd at_end_;
  std::vector<std::byte> pending_;  ///< unwritten: at most a stream's window
  std::size_t written_ = 0;         ///< of pending_
  bool watching_ = false;
  bool ended_ = false;
};

}  // namespace bulkhead::guest
