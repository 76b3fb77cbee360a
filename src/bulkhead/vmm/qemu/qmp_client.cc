#include "bulkhead/vmm/qemu/qmp_client.h"

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/stream_socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/block_nodes.h"
#include "bulkhead/vmm/qemu/qmp_protocol.h"

namespace bulkhead::vmm::qemu {
namespace {

Error ended() { return fail(ErrorCode::Unavailable, "qmp: the machine's process has ended"); }

/// Of a command whose answer says nothing.
QmpProtocol::ReplyCallback without_value(QmpClient::Reply<> reply) {
  return [reply = std::move(reply)](const Result<json::Value>& result) mutable {
    reply(result ? Result<>() : Result<>(result.error()));
  };
}

Result<AcceleratorStatus> parse_kvm_info(const json::Value& value) {
  const json::Fields fields = BH_TRY(json::Fields::create(value, "query-kvm"));
  AcceleratorStatus status;
  BH_TRY(fields.require("enabled", status.kvm_is_enabled));
  BH_TRY(fields.require("present", status.kvm_is_present));
  return status;
}

/// A command's callback and its time limit: whichever comes first.
struct Call {
  QmpProtocol::ReplyCallback reply;
  os::EventLoop::TimerId timer = 0;
  bool is_refused = false;
};

}  // namespace

Result<std::unique_ptr<QmpClient>> QmpClient::create(os::EventLoop& loop, os::UniqueFd socket,
                                                     Callbacks callbacks) {
  BH_TRY(os::set_nonblocking(socket.get()));
  std::unique_ptr<QmpClient> client(new QmpClient(loop, std::move(socket), std::move(callbacks)));
  BH_TRY(loop.watch(client->socket_.get(), EPOLLIN,
                    [raw = client.get()](std::uint32_t events) { raw->on_events(events); }));
  return client;
}

QmpClient::QmpClient(os::EventLoop& loop, os::UniqueFd socket, Callbacks callbacks)
    : loop_(&loop),
      socket_(std::move(socket)),
      closed_(std::move(callbacks.closed)),
      protocol_({.greeted = std::move(callbacks.greeted), .event = std::move(callbacks.event)}) {}

QmpClient::~QmpClient() {
  closed_ = nullptr;
  close(ended());
}

void QmpClient::stop(Reply<> reply) { execute("stop", without_value(std::move(reply))); }

void QmpClient::cont(Reply<> reply) { execute("cont", without_value(std::move(reply))); }

void QmpClient::quit(Reply<> reply) { execute("quit", without_value(std::move(reply))); }

Result<> QmpClient::send_file(int file) {
  flush();
  return os::send_with_fds(socket_.get(), as_bytes("\n"), {file});  // between two commands
}

void QmpClient::refuse(Reply<> reply, Error error) {
  loop_->post(
      [reply = std::move(reply), error = std::move(error)]() mutable { reply(std::move(error)); });
}

void QmpClient::exchange_disk(std::size_t index, int file, Access access, Reply<> reply) {
  if (auto sent = send_file(file); !sent) {
    refuse(std::move(reply), std::move(sent.error()));
    return;
  }
  const auto ignore = [](const Result<json::Value>&) {};  // what follows from it fails, too
  json::Value add;
  add.set("fdset-id", file_set(index, DiskFile::Exchanged));
  execute("add-fd", ignore, std::move(add));
  execute("blockdev-add", ignore, file_node(index, DiskFile::Exchanged, access));
  json::Array nodes;
  nodes.push_back(disk_node(index, DiskFile::Exchanged, access));
  json::Value reopen;
  reopen.set("options", std::move(nodes));
  execute("blockdev-reopen", without_value(std::move(reply)), std::move(reopen));
  json::Value old_node;
  old_node.set("node-name", file_node_name(index, DiskFile::First));
  execute("blockdev-del", ignore, std::move(old_node));
  json::Value old_file;
  old_file.set("fdset-id", file_set(index, DiskFile::First));
  execute("remove-fd", ignore, std::move(old_file));
}

void QmpClient::save(int file, Reply<> reply) {
  constexpr const char* kName = "state";
  if (auto sent = send_file(file); !sent) {
    refuse(std::move(reply), std::move(sent.error()));
    return;
  }
  json::Value arguments;
  arguments.set("fdname", kName);
  execute("getfd", [](const Result<json::Value>&) {}, std::move(arguments));
  migrate("migrate", kName, std::move(reply));
}

void QmpClient::query_save_error(Reply<std::string> reply) {
  execute("query-migrate", [reply = std::move(reply)](const Result<json::Value>& result) mutable {
    if (!result) {
      reply(result.error());
      return;
    }
    const json::Value* reason = result->find("error-desc");
    const std::string* text = reason == nullptr ? nullptr : reason->as_string();
    reply(text == nullptr ? "it does not say why" : *text);
  });
}

void QmpClient::restore(int descriptor, Reply<> reply) {
  migrate("migrate-incoming", std::to_string(descriptor), std::move(reply));
}

void QmpClient::migrate(std::string_view command, std::string_view descriptor, Reply<> reply) {
  json::Value capability;
  capability.set("capability", "x-ignore-shared");
  capability.set("state", true);
  json::Array capabilities;
  capabilities.push_back(std::move(capability));
  json::Value settings;
  settings.set("capabilities", std::move(capabilities));
  // If this is refused the next one fails, too.
  execute("migrate-set-capabilities", [](const Result<json::Value>&) {}, std::move(settings));
  json::Value arguments;
  arguments.set("uri", fmt::format("fd:{}", descriptor));
  execute(command, without_value(std::move(reply)), std::move(arguments));
}

void QmpClient::query_kvm(Reply<AcceleratorStatus> reply) {
  execute("query-kvm", [reply = std::move(reply)](const Result<json::Value>& result) mutable {
    reply(result ? parse_kvm_info(*result) : Result<AcceleratorStatus>(result.error()));
  });
}

void QmpClient::execute(std::string_view command, QmpProtocol::ReplyCallback reply,
                        json::Value arguments) {
  if (!socket_.is_open()) {
    loop_->post([reply = std::move(reply)]() mutable { reply(ended()); });
    return;
  }
  // Shared by the reply and the time limit, of which one comes.
  auto call = std::make_shared<Call>(Call{.reply = std::move(reply)});
  const auto on_reply = [this, call](Result<json::Value> result) {
    if (call->timer == 0) {
      // Refused at once; no callback comes from within the call that asked for it.
      call->is_refused = true;
      loop_->post([call, result = std::move(result)]() mutable { call->reply(std::move(result)); });
      return;
    }
    loop_->cancel(call->timer);
    timers_.erase(call->timer);
    call->reply(std::move(result));
  };
  const std::uint64_t id = protocol_.execute(command, std::move(arguments), on_reply);
  if (call->is_refused) {
    return;
  }
  call->timer = loop_->after(kCommandTimeout, [this, call, id, command = std::string(command)] {
    timers_.erase(call->timer);
    protocol_.forget(id);
    call->reply(
        fail(ErrorCode::Timeout, "qmp {}: no answer in {} s", command, kCommandTimeout.count()));
  });
  timers_.insert(call->timer);
  flush();
}

void QmpClient::on_events(std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_available()) {
    return;
  }
  flush();
}

bool QmpClient::read_available() {
  std::array<std::byte, 16384> buffer{};
  while (socket_.is_open()) {
    const auto size = os::try_read(socket_.get(), buffer);
    if (!size) {
      close(size.error());
      return false;
    }
    if (!*size) {
      return true;
    }
    if (**size == 0) {
      close(ended());
      return false;
    }
    if (const auto taken = protocol_.receive(std::span(buffer).first(**size)); !taken) {
      close(taken.error());
      return false;
    }
  }
  return false;
}

void QmpClient::drain() { std::ignore = read_available(); }

void QmpClient::flush() {
  if (!socket_.is_open()) {
    return;
  }
  unsent_ += protocol_.take_output();
  while (!unsent_.empty()) {
    const auto size = os::try_send(socket_.get(), as_bytes(unsent_));
    if (!size) {
      return;  // reading will find the end, after the peer's last words
    }
    if (!*size) {
      break;
    }
    unsent_.erase(0, **size);
  }
  if (const bool wants_room = !unsent_.empty(); wants_room != waits_for_room_) {
    waits_for_room_ = wants_room;
    std::ignore = loop_->modify(socket_.get(), EPOLLIN | (wants_room ? EPOLLOUT : 0U));
  }
}

void QmpClient::close(const Error& error) {
  if (!socket_.is_open()) {
    return;
  }
  loop_->unwatch(socket_.get());
  socket_.reset();
  protocol_.abandon(error);
  for (const os::EventLoop::TimerId timer : timers_) {
    loop_->cancel(timer);
  }
  timers_.clear();
  if (closed_) {
    std::exchange(closed_, nullptr)(error);
  }
}

}  // namespace bulkhead::vmm::qemu
