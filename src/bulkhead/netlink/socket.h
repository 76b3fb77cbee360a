#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::netlink {

enum class Protocol : std::uint8_t { Route, Netfilter };

/// A conversation with the kernel, in the network namespace in which it was opened. One thread.
class Socket {
 public:
  static Result<Socket> open(Protocol protocol);

  /// Sends a request and waits for its acknowledgement. `call` names it in errors, e.g.
  /// "set link eth0 up". Errors: whatever the kernel answers.
  Result<> request(MessageBuilder message, std::string_view call);

  /// Sends a request that is answered with one message.
  Result<Message> query(MessageBuilder message, std::string_view call);

  /// Sends a request for a list. A list that changed while it was read is read again.
  Result<std::vector<Message>> dump(MessageBuilder message, std::string_view call);

  /// Sends several requests as one transaction of nfnetlink: all are done or none.
  Result<> batch(std::vector<MessageBuilder> messages, std::uint16_t subsystem,
                 std::string_view call);

 private:
  explicit Socket(os::UniqueFd fd) : fd_(std::move(fd)) {}

  Result<> send(Bytes bytes, std::string_view call);
  Result<std::vector<Message>> receive(std::string_view call);

  os::UniqueFd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace bulkhead::netlink
