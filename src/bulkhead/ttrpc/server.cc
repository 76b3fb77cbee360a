#include "bulkhead/ttrpc/server.h"

#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/server_protocol.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::ttrpc {

using std::chrono::steady_clock;

namespace {

/// How long the listener rests when connections cannot be accepted (descriptors used up).
constexpr std::chrono::milliseconds kAcceptPause{100};

struct Connection {
  std::unique_ptr<Transport> transport;
  std::shared_ptr<ServerProtocol> protocol;
  os::EventLoop::TimerId timer = 0;
  std::optional<SteadyTime> deadline;  ///< that the timer is set to
};

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  os::EventLoop& loop;
  ServerOptions options;
  ServiceTable services;
  // Shared: a service may close its own connection.
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections;
  std::uint64_t last_connection = 0;
  os::UniqueFd listener;
  std::move_only_function<void()> on_idle;
  bool closed = false;

  State(os::EventLoop& event_loop, ServerOptions with) : loop(event_loop), options(with) {}

  void arm(std::uint64_t id, Connection& connection) {
    const std::optional<SteadyTime> next = connection.protocol->next_deadline();
    if (next == connection.deadline) {
      return;
    }
    loop.cancel(std::exchange(connection.timer, 0));
    connection.deadline = next;
    if (!next) {
      return;
    }
    connection.timer = loop.after(*next - steady_clock::now(), [weak = weak_from_this(), id] {
      if (const auto self = weak.lock()) {
        self->with(id, [](Connection& due) {
          due.deadline.reset();
          due.protocol->expire(steady_clock::now());
        });
      }
    });
  }

  /// Does something with a connection that is still there.
  template <class Function>
  void with(std::uint64_t id, Function function) {
    const auto found = connections.find(id);
    if (found == connections.end()) {
      return;
    }
    const std::shared_ptr<Connection> connection = found->second;
    function(*connection);
    if (connections.contains(id)) {
      arm(id, *connection);
    }
  }

  void remove(std::uint64_t id) {
    auto node = connections.extract(id);
    if (node.empty()) {
      return;
    }
    Connection& connection = *node.mapped();
    loop.cancel(connection.timer);
    connection.transport.reset();
    connection.protocol->close();
    if (connections.empty() && on_idle && !closed) {
      // Moved out for the call: it may set another.
      auto callback = std::exchange(on_idle, nullptr);
      callback();
      if (!on_idle) {
        on_idle = std::move(callback);
      }
    }
  }

  Result<> send(std::uint64_t id, std::string frame) {
    const auto found = connections.find(id);
    if (found == connections.end()) {
      return Error(ErrorCode::Unavailable, "the connection is closed");
    }
    Result<> sent = found->second->transport->send(std::move(frame));
    if (!sent) {
      loop.after(std::chrono::nanoseconds(0), [weak = weak_from_this(), id, error = sent.error()] {
        if (const auto self = weak.lock()) {
          log::debug("ttrpc: connection dropped: {}", error.message());
          self->remove(id);
        }
      });
    }
    return sent;
  }

  Result<> serve(std::unique_ptr<Transport> transport) {
    const std::uint64_t id = ++last_connection;
    auto connection = std::make_shared<Connection>();
    const std::weak_ptr<State> weak = weak_from_this();
    connection->transport = std::move(transport);
    connection->protocol =
        ServerProtocol::create(services, options.limits, [weak, id](std::string frame) -> Result<> {
          const auto self = weak.lock();
          if (self == nullptr) {
            return Error(ErrorCode::Unavailable, "the server is closed");
          }
          return self->send(id, std::move(frame));
        });
    connections.emplace(id, connection);
    Result<> started = connection->transport->start(
        [weak, id](Bytes bytes) {
          if (const auto self = weak.lock()) {
            self->with(id, [&](Connection& receiving) {
              receiving.protocol->receive(bytes, steady_clock::now());
            });
          }
        },
        [weak, id](const Error&) {
          if (const auto self = weak.lock()) {
            self->remove(id);
          }
        });
    if (!started) {
      connections.erase(id);
    }
    return started;
  }

  void accept_waiting() {
    while (listener.is_open()) {
      auto accepted = os::accept_connection(listener.get());
      if (!accepted) {
        log::warning("ttrpc: {}", accepted.error().message());
        pause();
        return;
      }
      if (!*accepted) {
        return;
      }
      if (connections.size() >= options.max_connections) {
        log::warning("ttrpc: more than {} connections: refused", options.max_connections);
        continue;
      }
      auto transport = make_fd_transport(loop, **std::move(accepted),
                                         {.max_queued_bytes = options.max_queued_bytes});
      const Result<> served =
          transport ? serve(*std::move(transport)) : Result<>(transport.error());
      if (!served) {
        log::warning("ttrpc: connection: {}", served.error().message());
      }
    }
  }

  void pause() {
    if (!loop.modify(listener.get(), 0)) {
      return;
    }
    loop.after(kAcceptPause, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self != nullptr && self->listener.is_open()) {
        std::ignore = self->loop.modify(self->listener.get(), EPOLLIN);
      }
    });
  }

  void stop_listening() {
    if (listener.is_open()) {
      loop.unwatch(listener.get());
      listener.reset();
    }
  }
};

Server::Server(os::EventLoop& loop, ServerOptions options)
    : state_(std::make_shared<State>(loop, options)) {}

Server::~Server() {
  state_->closed = true;
  state_->stop_listening();
  for (const auto& [id, connection] : state_->connections) {
    state_->loop.cancel(connection->timer);
    connection->transport.reset();
  }
  // Without callbacks; one that is being served right now is kept by its caller.
  state_->connections.clear();
}

void Server::add_service(Service& service) { state_->services.add(service); }

void Server::add_service(Service& service, std::string name) {
  state_->services.add(service, std::move(name));
}

Result<> Server::serve(std::unique_ptr<Transport> transport) {
  return state_->serve(std::move(transport));
}

Result<> Server::listen(os::UniqueFd listener) {
  state_->listener = std::move(listener);
  return state_->loop.watch(state_->listener.get(), EPOLLIN,
                            [weak = state_->weak_from_this()](std::uint32_t) {
                              if (const auto self = weak.lock()) {
                                self->accept_waiting();
                              }
                            });
}

void Server::on_idle(std::move_only_function<void()> callback) {
  state_->on_idle = std::move(callback);
}

std::size_t Server::connections() const { return state_->connections.size(); }

std::size_t Server::queued_bytes() const {
  std::size_t sum = 0;
  for (const auto& [id, connection] : state_->connections) {
    sum += connection->transport->queued_bytes();
  }
  return sum;
}

void Server::close() {
  const auto state = state_;
  state->closed = true;
  state->stop_listening();
  while (!state->connections.empty()) {
    state->remove(state->connections.begin()->first);
  }
}

}  // namespace bulkhead::ttrpc
