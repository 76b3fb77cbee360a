#include "bulkhead/mux/connection.h"

#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::mux {
namespace {

// A virtio-serial port gives at most one page for each read: reads are gathered in the buffer until
// there is nothing more, so that streams get large pieces.
constexpr std::size_t kReadSize = 64U << 10U;

/// After this much in one direction the rest of the loop has its turn.
constexpr std::size_t kTurnBytes = 1U << 20U;

}  // namespace

struct Connection::State : std::enable_shared_from_this<Connection::State> {
  os::EventLoop& loop;
  os::UniqueFd fd;
  Role role;
  bool is_socket;
  ConnectionEvents events;
  std::optional<Session> session;
  std::unique_ptr<std::byte[]> buffer = std::make_unique_for_overwrite<std::byte[]>(kReadSize);
  bool write_scheduled = false;
  bool read_scheduled = false;
  bool closed = false;     ///< the descriptor is gone
  bool destroyed = false;  ///< no more callbacks

  State(os::EventLoop& event_loop, os::UniqueFd descriptor, Role our_role, ConnectionEvents with)
      : loop(event_loop),
        fd(std::move(descriptor)),
        role(our_role),
        is_socket(os::is_socket(fd.get())),
        events(std::move(with)) {}

  void create_session(std::uint64_t epoch) {
    // The session is a part of this object: its callbacks cannot come after it.
    SessionEvents wiring{.on_ready =
                             [this] {
                               if (events.on_ready) {
                                 events.on_ready();
                               }
                             },
                         .on_open = nullptr,
                         .on_work = [this] { schedule_write(); }};
    if (events.on_open) {
      wiring.on_open = [this](StreamId id) { events.on_open(id); };
    }
    session.emplace(role, epoch, std::move(wiring));
  }

  void release() {
    closed = true;
    loop.unwatch(fd.get());
    fd.reset();
  }

  void soon(void (State::*function)()) {
    loop.after(std::chrono::nanoseconds(0), [weak = weak_from_this(), function] {
      if (const auto self = weak.lock(); self != nullptr && !self->closed) {
        ((*self).*function)();
      }
    });
  }

  /// All writes of one turn of the loop leave at its end.
  void schedule_write() {
    if (!std::exchange(write_scheduled, true)) {
      soon(&State::write_output);
    }
  }

  void schedule_read() {
    if (!std::exchange(read_scheduled, true)) {
      soon(&State::read_input);
    }
  }

  /// For a guest the port stays, whatever happened to the session on it.
  void broken(const Error& error, bool descriptor_is_dead) {
    if (role == Role::Host || descriptor_is_dead) {
      release();
    }
    session->disconnect(error);
    if (events.on_broken && !destroyed) {
      events.on_broken(error);
    }
  }

  Result<std::optional<std::size_t>> push(Bytes data) const {
    return is_socket ? os::try_send(fd.get(), data) : os::try_write(fd.get(), data);
  }

  void write_output() {
    write_scheduled = false;
    std::size_t total = 0;
    while (!closed) {
      session->process();
      const Bytes output = session->output();
      if (closed || output.empty()) {
        return;
      }
      if (total >= kTurnBytes) {
        schedule_write();
        return;
      }
      const auto written = push(output);
      if (!written) {
        broken(written.error(), true);
        return;
      }
      if (!*written) {
        return;  // the next edge of EPOLLOUT goes on
      }
      total += **written;
      session->consume_output(**written);
    }
  }

  /// False when there is nothing left to read for.
  bool take(Bytes bytes) {
    if (bytes.empty()) {
      return true;
    }
    if (const Result<> received = session->receive(bytes); !received && !closed) {
      broken(received.error(), false);
    }
    return !closed;
  }

  void read_input() {
    read_scheduled = false;
    std::size_t total = 0;
    std::size_t size = 0;
    const MutableBytes room(buffer.get(), kReadSize);
    while (true) {
      const auto n = os::try_read(fd.get(), room.subspan(size));
      if (!n) {
        if (take(room.first(size))) {
          broken(n.error(), true);
        }
        return;
      }
      if (!*n) {
        take(room.first(size));
        return;
      }
      if (**n == 0) {
        if (take(room.first(size))) {
          hung_up();
        }
        return;
      }
      size += **n;
      total += **n;
      if (size < kReadSize) {
        continue;
      }
      if (!take(room)) {
        return;
      }
      size = 0;
      if (total >= kTurnBytes) {
        schedule_read();
        return;
      }
    }
  }

  void hung_up() {
    if (role == Role::Host || is_socket) {
      broken({ErrorCode::Unavailable, "mux: the peer closed the channel"}, true);
    } else if (session->is_ready()) {
      broken({ErrorCode::Unavailable, "mux: the host disconnected"}, false);
    }
  }

  void on_events(std::uint32_t ready) {
    if ((ready & ~std::uint32_t{EPOLLOUT}) != 0) {
      read_input();
    }
    if ((ready & EPOLLOUT) != 0 && !closed) {
      write_output();
    }
  }
};

Connection::Connection(std::shared_ptr<State> state) : state_(std::move(state)) {}

Connection::~Connection() {
  state_->destroyed = true;
  if (!state_->closed) {
    state_->release();
  }
  state_->session->shutdown();
}

Result<std::unique_ptr<Connection>> Connection::create(os::EventLoop& loop, os::UniqueFd fd,
                                                       Role role, ConnectionEvents events) {
  BH_TRY(os::set_nonblocking(fd.get()));
  std::random_device random;
  const std::uint64_t epoch = (std::uint64_t{random()} << 32U) | random();
  auto state = std::make_shared<State>(loop, std::move(fd), role, std::move(events));
  state->create_session(epoch);
  // Edge-triggered: a level would report a hang-up of a virtio-serial port again and again, and
  // EPOLLOUT need not be switched on and off.
  BH_TRY(loop.watch(state->fd.get(), EPOLLIN | EPOLLOUT | EPOLLET,
                    [weak = state->weak_from_this()](std::uint32_t ready) {
                      if (const auto self = weak.lock(); self != nullptr && !self->closed) {
                        self->on_events(ready);
                      }
                    }));
  return std::unique_ptr<Connection>(new Connection(std::move(state)));
}

Session& Connection::session() { return *state_->session; }

std::weak_ptr<Session> Connection::weak_session() const {
  return std::shared_ptr<Session>(state_, &*state_->session);
}

}  // namespace bulkhead::mux
