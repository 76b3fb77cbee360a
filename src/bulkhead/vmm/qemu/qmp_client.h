#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qmp_protocol.h"

namespace bulkhead::vmm::qemu {

/// A QMP session on a socket and an event loop. Every command has a time limit; every callback is
/// called exactly once, also when this is closed or destroyed.
class QmpClient {
 public:
  template <class T = void>
  using Reply = std::move_only_function<void(Result<T>)>;

  struct Callbacks {
    QmpProtocol::Callback greeted;
    QmpProtocol::EventCallback event;
    /// The session has ended: end of file, or the peer broke the protocol. May be empty.
    std::move_only_function<void(const Error&)> closed;
  };

  static Result<std::unique_ptr<QmpClient>> create(os::EventLoop& loop, os::UniqueFd socket,
                                                   Callbacks callbacks);

  QmpClient(const QmpClient&) = delete;
  QmpClient& operator=(const QmpClient&) = delete;
  ~QmpClient();

  void stop(Reply<> reply);
  void cont(Reply<> reply);
  void quit(Reply<> reply);
  /// Begins to write the state of the machine, but for shared memory, to `file`, which it is given;
  /// a MIGRATION event tells the end. The session must be ready.
  void save(int file, Reply<> reply);
  /// Why that failed.
  void query_save_error(Reply<std::string> reply);
  /// Begins to read it from a descriptor that the machine has; it runs when that is done.
  void restore(int descriptor, Reply<> reply);
  void query_kvm(Reply<AcceleratorStatus> reply);
  /// Block node "disk<index>" reads and writes `file`, which QEMU is given a copy of, instead of
  /// what it had. Only after the reply the next one. The session must be ready.
  void exchange_disk(std::size_t index, int file, Access access, Reply<> reply);

  /// Reads what is there now without waiting; for the last words of a process that has ended.
  void drain();

 private:
  static constexpr std::chrono::seconds kCommandTimeout{10};

  QmpClient(os::EventLoop& loop, os::UniqueFd socket, Callbacks callbacks);

  void refuse(Reply<> reply, Error error);
  /// A copy of `file` waits in QEMU until the next command asks for it.
  Result<> send_file(int file);
  /// Shared memory stays where it is; then the command that moves the rest.
  void migrate(std::string_view command, std::string_view descriptor, Reply<> reply);
  void execute(std::string_view command, QmpProtocol::ReplyCallback reply,
               json::Value arguments = {});
  void on_events(std::uint32_t events);
  /// False when the session has ended.
  bool read_available();
  void flush();
  void close(const Error& error);

  os::EventLoop* loop_;
  os::UniqueFd socket_;
  std::move_only_function<void(const Error&)> closed_;
  QmpProtocol protocol_;
  std::string unsent_;
  bool waits_for_room_ = false;
  std::unordered_set<os::EventLoop::TimerId> timers_;
};

}  // namespace bulkhead::vmm::qemu
