#include "bulkhead/shim/events.h"

#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <google/protobuf/message_lite.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/services/events/ttrpc/v1/events.ttrpc.h"

namespace bulkhead::shim {
namespace {

namespace events_api = containerd::services::events::ttrpc::v1;

std::string socket_path(std::string_view address) {
  constexpr std::string_view kScheme = "unix://";
  return std::string(address.starts_with(kScheme) ? address.substr(kScheme.size()) : address);
}

}  // namespace

EventPublisher::EventPublisher(os::EventLoop& loop, PublisherOptions options)
    : loop_(loop), options_(std::move(options)) {}

EventPublisher::~EventPublisher() { loop_.cancel(timer_); }

void EventPublisher::publish(std::string_view topic, std::string_view type,
                             const google::protobuf::MessageLite& event, std::string_view summary) {
  if (options_.address.empty()) {
    append_to_file(topic, summary);
    return;
  }
  if (queue_.size() >= options_.most_queued) {
    log::warning("event {}: lost: {} others are waiting", topic, queue_.size());
    return;
  }
  const auto now = wall_now().time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  Queued queued;
  queued.envelope.mutable_timestamp()->set_seconds(seconds.count());
  queued.envelope.mutable_timestamp()->set_nanos(
      static_cast<std::int32_t>((now - seconds).count()));
  queued.envelope.set_namespace_(options_.name_space);
  queued.envelope.set_topic(std::string(topic));
  queued.envelope.mutable_event()->set_type_url(std::string(type));
  queued.envelope.mutable_event()->set_value(event.SerializeAsString());
  queue_.push_back(std::move(queued));
  send_first();
}

void EventPublisher::append_to_file(std::string_view topic, std::string_view summary) {
  if (options_.file.empty()) {
    return;
  }
  if (!file_.is_open()) {
    auto file = os::open_file(options_.file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
    if (!file) {
      if (!std::exchange(warned_, true)) {
        log::warning("events: {}", file.error().message());
      }
      return;
    }
    file_ = *std::move(file);
  }
  json::Value line;
  line.set("time", format_rfc3339(wall_now()));
  line.set("namespace", options_.name_space);
  line.set("topic", topic);
  line.set("event", summary);
  std::ignore = os::write_all(file_.get(), as_bytes(json::write(line) + "\n"));
}

void EventPublisher::send_first() {
  if (is_sending_ || timer_ != 0 || queue_.empty()) {
    return;
  }
  is_sending_ = true;
  if (client_ == nullptr || !client_->is_open()) {
    auto client = ttrpc::Client::connect(loop_, socket_path(options_.address));
    if (!client) {
      on_answer(client.error());
      return;
    }
    client_ = *std::move(client);
  }
  ++queue_.front().attempts;
  events_api::ForwardRequest request;
  *request.mutable_envelope() = queue_.front().envelope;
  events_api::EventsClient(*client_).forward(
      request, {.timeout = options_.timeout, .metadata = {}},
      [this](const Result<google::protobuf::Empty>& answer) {
        on_answer(answer ? Result<>() : Result<>(answer.error()));
      });
}

void EventPublisher::on_answer(const Result<>& answer) {
  is_sending_ = false;
  if (answer) {
    drop_first();
    return;
  }
  Queued& first = queue_.front();
  if (client_ == nullptr || !client_->is_open()) {
    ++first.attempts;
  }
  if (first.attempts >= options_.attempts) {
    log::warning("event {}: lost: {}", first.envelope.topic(), answer.error().message());
    drop_first();
    return;
  }
  timer_ = loop_.after(options_.pause * first.attempts, [this] {
    timer_ = 0;
    client_.reset();
    send_first();
  });
}

void EventPublisher::drop_first() {
  queue_.pop_front();
  if (!queue_.empty()) {
    // Not from within the answer to the one before.
    timer_ = loop_.after(std::chrono::nanoseconds(0), [this] {
      timer_ = 0;
      send_first();
    });
  } else if (on_empty_) {
    on_empty_();
  }
}

}  // namespace bulkhead::shim
