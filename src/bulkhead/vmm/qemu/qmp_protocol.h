#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

// QMP, QEMU's control protocol: one JSON object a line, both ways.
//
//   QEMU      {"QMP": {"version": {…}, "capabilities": […]}}          once, first
//   we        {"execute": "qmp_capabilities", "id": 1}                 until then nothing else is
//   taken we        {"execute": "stop", "arguments": {…}, "id": 2} QEMU      {"return": {…}, "id":
//   2}   or   {"error": {"class": "GenericError", "desc": "…"}, "id": 2} QEMU      {"event":
//   "SHUTDOWN", "data": {…}, "timestamp": {…}}     at any time after the greeting
//
// The process at the other end runs an enemy's machine and may have been taken over: lines, replies
// in flight and nesting are bounded, and what does not fit ends the session.
// Source: QEMU docs/interop/qmp-spec.txt.

namespace bulkhead::vmm::qemu {

struct QmpEvent {
  std::string name;
  json::Value data;
};

/// The session's state, without a socket: bytes in, callbacks and bytes out.
class QmpProtocol {
 public:
  using ReplyCallback = std::move_only_function<void(Result<json::Value>)>;
  using EventCallback = std::move_only_function<void(const QmpEvent&)>;
  using Callback = std::move_only_function<void()>;

  static constexpr std::size_t kLongestLine = 256U << 10U;
  static constexpr std::size_t kMostPending = 64;

  struct Callbacks {
    Callback greeted;     ///< the greeting has come; may be empty
    EventCallback event;  ///< may be empty
  };

  explicit QmpProtocol(Callbacks callbacks);

  /// Queues a command; before the greeting has been answered it waits.
  /// `reply` gets what QEMU returned; Remote with its description for an error of its; whatever
  /// abandon() was called with; ResourceExhausted, at once, beyond kMostPending.
  std::uint64_t execute(std::string_view command, json::Value arguments, ReplyCallback reply);

  /// Drops a command's callback (after a time limit): a late reply is ignored.
  void forget(std::uint64_t id);

  /// Takes what came. An error means that the peer does not speak QMP: close, then abandon().
  /// Errors: Corrupt.
  Result<> receive(Bytes data);

  /// What is to be sent; empties it.
  std::string take_output();

  /// Fails all pending commands.
  void abandon(const Error& error);

  [[nodiscard]] bool is_ready() const { return state_ == State::Ready; }

 private:
  enum class State : std::uint8_t { AwaitingGreeting, Negotiating, Ready };

  Result<> take_line(std::string_view line);
  Result<> take_greeting(const json::Value& message);
  Result<> take_reply(const json::Value& message);
  Result<> take_event(const json::Value& message);
  void send(std::uint64_t id, std::string_view command, json::Value arguments);

  Callbacks callbacks_;
  State state_ = State::AwaitingGreeting;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, ReplyCallback> pending_;
  std::string input_;
  std::string output_;
  std::vector<std::string> held_;  ///< lines that wait for the negotiation
};

}  // namespace bulkhead::vmm::qemu
