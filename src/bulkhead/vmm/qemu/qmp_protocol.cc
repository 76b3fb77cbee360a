#include "bulkhead/vmm/qemu/qmp_protocol.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"

namespace bulkhead::vmm::qemu {
namespace {

constexpr json::Limits kLimits{.bytes = QmpProtocol::kLongestLine, .depth = 16, .values = 10'000};

std::string command_line(std::uint64_t id, std::string_view command, json::Value arguments) {
  json::Value message;
  message.set("execute", command);
  if (!arguments.is_null()) {
    message.set("arguments", std::move(arguments));
  }
  message.set("id", id);
  return json::write(message) + "\r\n";
}

std::string text_of(const json::Value* value) {
  const std::string* text = value == nullptr ? nullptr : value->as_string();
  return text == nullptr ? std::string() : *text;
}

}  // namespace

QmpProtocol::QmpProtocol(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

std::uint64_t QmpProtocol::execute(std::string_view command, json::Value arguments,
                                   ReplyCallback reply) {
  const std::uint64_t id = ++last_id_;
  if (pending_.size() >= kMostPending) {
    reply(fail(ErrorCode::ResourceExhausted, "qmp {}: {} commands are unanswered", command,
               pending_.size()));
    return id;
  }
  pending_.emplace(id, std::move(reply));
  send(id, command, std::move(arguments));
  return id;
}

void QmpProtocol::forget(std::uint64_t id) {
  const auto found = pending_.find(id);
  if (found != pending_.end()) {
    // It stays pending, so that its reply is known; nobody hears it.
    found->second = [](const Result<json::Value>&) {};
  }
}

void QmpProtocol::send(std::uint64_t id, std::string_view command, json::Value arguments) {
  std::string line = command_line(id, command, std::move(arguments));
  if (state_ == State::Ready) {
    output_ += line;
  } else {
    held_.push_back(std::move(line));
  }
}

Result<> QmpProtocol::receive(Bytes data) {
  std::string_view rest = as_text(data);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view piece = rest.substr(0, end);
    if (input_.size() + piece.size() > kLongestLine) {
      return fail(ErrorCode::Corrupt, "qmp: a line is longer than {} bytes", kLongestLine);
    }
    input_ += piece;
    if (end == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(end + 1);
    const std::string line = std::exchange(input_, {});
    BH_TRY(take_line(line));
  }
  return {};
}

Result<> QmpProtocol::take_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
    return {};
  }
  const auto message = json::parse(line, "qmp", kLimits);
  if (!message) {
    return fail(ErrorCode::Corrupt, "{}", message.error().message());
  }
  if (state_ == State::AwaitingGreeting) {
    return take_greeting(*message);
  }
  if (message->find("event") != nullptr) {
    return take_event(*message);
  }
  if (message->find("return") != nullptr || message->find("error") != nullptr) {
    return take_reply(*message);
  }
  return fail(ErrorCode::Corrupt, "qmp: neither event nor reply: {}", quote(line));
}

Result<> QmpProtocol::take_greeting(const json::Value& message) {
  if (message.find("QMP") == nullptr) {
    return fail(ErrorCode::Corrupt, "qmp: no greeting");
  }
  state_ = State::Negotiating;
  const std::uint64_t id = ++last_id_;
  pending_.emplace(id, [this](const Result<json::Value>& reply) {
    if (!reply) {
      return;  // what was held stays unsent; its callers have time limits
    }
    state_ = State::Ready;
    for (const std::string& line : std::exchange(held_, {})) {
      output_ += line;
    }
  });
  output_ += command_line(id, "qmp_capabilities", {});
  if (callbacks_.greeted) {
    callbacks_.greeted();
  }
  return {};
}

Result<> QmpProtocol::take_reply(const json::Value& message) {
  const json::Value* id_value = message.find("id");
  const std::optional<std::uint64_t> id =
      id_value == nullptr ? std::nullopt : id_value->as_integer<std::uint64_t>();
  if (!id) {
    return fail(ErrorCode::Corrupt, "qmp: a reply without our id");
  }
  const auto found = pending_.find(*id);
  if (found == pending_.end()) {
    return fail(ErrorCode::Corrupt, "qmp: a reply to no command of ours ({})", *id);
  }
  ReplyCallback reply = std::move(found->second);
  pending_.erase(found);
  if (const json::Value* error = message.find("error")) {
    reply(fail(ErrorCode::Remote, "qemu: {}", quote(text_of(error->find("desc")))));
  } else {
    reply(*message.find("return"));
  }
  return {};
}

Result<> QmpProtocol::take_event(const json::Value& message) {
  QmpEvent event{.name = text_of(message.find("event")), .data = {}};
  if (event.name.empty()) {
    return fail(ErrorCode::Corrupt, "qmp: an event without a name");
  }
  if (const json::Value* data = message.find("data")) {
    event.data = *data;
  }
  if (callbacks_.event) {
    callbacks_.event(event);
  }
  return {};
}

std::string QmpProtocol::take_output() { return std::exchange(output_, {}); }

void QmpProtocol::abandon(const Error& error) {
  // A callback may send the next command: only those that wait now.
  auto pending = std::exchange(pending_, {});
  for (auto& [id, reply] : pending) {
    reply(error);
  }
}

}  // namespace bulkhead::vmm::qemu
