#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/server_protocol.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::ttrpc {

struct ServerOptions {
  ServerLimits limits;
  std::size_t max_connections = 1024;         ///< one more is closed at once
  std::size_t max_queued_bytes = 16U << 20U;  ///< a connection whose peer does not read is closed
};

/// Serves services on any number of connections, calls concurrently, all on one loop. The loop and
/// the services must outlive the server. Services may end the server from inside a call.
class Server {
 public:
  explicit Server(os::EventLoop& loop, ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Before the first connection. Under its own name, or under another one too.
  void add_service(Service& service);
  void add_service(Service& service, std::string name);

  /// Serves one connection until it breaks.
  Result<> serve(std::unique_ptr<Transport> transport);

  /// Accepts connections from a listening socket (os::listen_unix) until close().
  Result<> listen(os::UniqueFd listener);

  /// Called, from the loop, when the number of connections has fallen to 0.
  void on_idle(std::move_only_function<void()> callback);

  [[nodiscard]] std::size_t connections() const;

  /// Bytes of answers that peers have not taken yet: before exiting, wait for 0 or a deadline.
  [[nodiscard]] std::size_t queued_bytes() const;

  /// Stops listening and closes every connection; calls in progress are cancelled.
  void close();

 private:
  struct State;

  std::shared_ptr<State> state_;  // shared: a service may end the server from inside a call
};

}  // namespace bulkhead::ttrpc
