#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/types/event.pb.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace bulkhead::shim {

struct PublisherOptions {
  std::string name_space;
  /// containerd's ttrpc socket; empty: events go to the file.
  std::string address;
  /// One JSON object a line, for a container of Bulkhead's own; empty: nowhere.
  std::string file;
  std::size_t most_queued = 2048;
  int attempts = 5;
  std::chrono::milliseconds timeout{5000};
  std::chrono::milliseconds pause{1000};  ///< between attempts, longer each time
};

/// Tells containerd what happened, one event after the other and in order. What containerd does not
/// take after some attempts, or what is more than it can be behind, is lost, with a warning.
class EventPublisher {
 public:
  EventPublisher(os::EventLoop& loop, PublisherOptions options);
  EventPublisher(const EventPublisher&) = delete;
  EventPublisher& operator=(const EventPublisher&) = delete;
  ~EventPublisher();

  /// `type` is the message's name, "containerd.events.TaskExit"; `summary` what the file says of
  /// it.
  void publish(std::string_view topic, std::string_view type,
               const google::protobuf::MessageLite& event, std::string_view summary);

  /// Events that are not delivered yet.
  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

  /// Called, from the loop, whenever nothing is queued any more.
  void on_empty(std::move_only_function<void()> callback) { on_empty_ = std::move(callback); }

 private:
  struct Queued {
    containerd::types::Envelope envelope;
    int attempts = 0;
  };

  void append_to_file(std::string_view topic, std::string_view summary);
  void send_first();
  void on_answer(const Result<>& answer);
  void drop_first();

  os::EventLoop& loop_;
  PublisherOptions options_;
  os::UniqueFd file_;
  std::deque<Queued> queue_;
  std::unique_ptr<ttrpc::Client> client_;
  os::EventLoop::TimerId timer_ = 0;
  bool is_sending_ = false;
  bool warned_ = false;
  std::move_only_function<void()> on_empty_;
};

}  // namespace bulkhead::shim
