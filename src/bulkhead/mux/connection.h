#pragma once

#include <functional>
#include <memory>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::mux {

struct ConnectionEvents {
  /// Hellos are exchanged; in the guest, again for each new session, whose streams are new.
  std::move_only_function<void()> on_ready;
  /// The peer opened a stream, which waits for attach(). Absent: such streams are refused.
  std::move_only_function<void(StreamId)> on_open;
  /// The session broke; every stream has been reset. For a host it is the end and comes once; a
  /// guest's connection goes on and waits for the next Hello.
  std::move_only_function<void(const Error&)> on_broken;
};

/// A Session bound to a descriptor and an event loop. Its owner may destroy it in any callback,
/// of streams too. Writes of one turn of the loop leave together at its end.
///
/// Host: the descriptor is the socket to QEMU's chardev; end of file breaks the session.
/// Guest: it is the virtio-serial port. While the host's end is disconnected the port reports
/// hang-up and reads return 0: that resets the session and costs no processor time.
class Connection {
 public:
  /// The descriptor is made non-blocking. The host's Hello leaves at once.
  static Result<std::unique_ptr<Connection>> create(os::EventLoop& loop, os::UniqueFd fd, Role role,
                                                    ConnectionEvents events);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// Lives as long as the connection.
  [[nodiscard]] Session& session();

  /// For objects that may outlive the connection.
  [[nodiscard]] std::weak_ptr<Session> weak_session() const;

 private:
  struct State;

  explicit Connection(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;  // shared: a callback may destroy the connection
};

}  // namespace bulkhead::mux
