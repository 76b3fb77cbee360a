#include "bulkhead/netlink/socket.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::netlink {
namespace {

// The kernel fills dumps into what the reader offers, up to 32 KiB.
constexpr std::size_t kReceiveSize = 64U << 10U;
constexpr std::size_t kMostDumped = 100'000;
constexpr int kMostDumpTries = 8;
constexpr int kReceiveSeconds = 10;

}  // namespace

Result<Socket> Socket::open(Protocol protocol) {
  const int number = protocol == Protocol::Route ? NETLINK_ROUTE : NETLINK_NETFILTER;
  os::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, number));
  if (!fd.is_open()) {
    return Error::from_errno("netlink socket");
  }
  const int on = 1;
  // Words with errors, without the request echoed whole: kernels before these exist do not matter.
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  const timeval timeout{.tv_sec = kReceiveSeconds, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("netlink bind");
  }
  return Socket(std::move(fd));
}

Result<> Socket::send(Bytes bytes, std::string_view call) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = os::retry_eintr([&] {
    return ::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                    reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  });
  if (sent < 0) {
    return Error::from_errno(call);
  }
  return {};
}

Result<std::vector<Message>> Socket::receive(std::string_view call) {
  std::vector<std::byte> buffer(kReceiveSize);
  while (true) {
    sockaddr_nl sender{};
    socklen_t size = sizeof sender;
    const ssize_t n = os::retry_eintr([&] {
      return ::recvfrom(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                        reinterpret_cast<sockaddr*>(&sender), &size);
    });
    if (n < 0) {
      return errno == EAGAIN ? fail(ErrorCode::Timeout, "{}: the kernel does not answer", call)
                             : Error::from_errno(call);
    }
    if (static_cast<std::size_t>(n) > buffer.size()) {
      return fail(ErrorCode::Corrupt, "{}: an answer of {} bytes", call, n);
    }
    // Any process may send to this socket; only the kernel is listened to.
    if (sender.nl_pid == 0) {
      return parse_messages(Bytes(buffer).first(static_cast<std::size_t>(n)));
    }
  }
}

Result<> Socket::request(MessageBuilder message, std::string_view call) {
  // Asked to acknowledge by the flag that the builder was given, or by this one.
  const std::uint32_t sequence = ++sequence_;
  BH_TRY(send(message.finish(sequence), call));
  while (true) {
    for (const Message& answer : BH_TRY(receive(call))) {
      if (answer.sequence == sequence && answer.type == NLMSG_ERROR) {
        return parse_acknowledgement(answer, call);
      }
    }
  }
}

Result<Message> Socket::query(MessageBuilder message, std::string_view call) {
  const std::uint32_t sequence = ++sequence_;
  BH_TRY(send(message.finish(sequence), call));
  while (true) {
    for (Message& answer : BH_TRY(receive(call))) {
      if (answer.sequence != sequence) {
        continue;
      }
      if (answer.type == NLMSG_ERROR) {
        BH_TRY(parse_acknowledgement(answer, call));
        continue;
      }
      return std::move(answer);
    }
  }
}

Result<std::vector<Message>> Socket::dump(MessageBuilder message, std::string_view call) {
  for (int attempt = 0; attempt < kMostDumpTries; ++attempt) {
    const std::uint32_t sequence = ++sequence_;
    BH_TRY(send(message.finish(sequence), call));
    std::vector<Message> list;
    bool done = false;
    bool interrupted = false;
    while (!done) {
      for (Message& answer : BH_TRY(receive(call))) {
        if (answer.sequence != sequence) {
          continue;
        }
        interrupted = interrupted || (answer.flags & NLM_F_DUMP_INTR) != 0;
        if (answer.type == NLMSG_ERROR) {
          BH_TRY(parse_acknowledgement(answer, call));
        }
        if (answer.type == NLMSG_DONE || answer.type == NLMSG_ERROR) {
          done = true;
          break;
        }
        if (list.size() == kMostDumped) {
          return fail(ErrorCode::ResourceExhausted, "{}: more than {} entries", call, kMostDumped);
        }
        list.push_back(std::move(answer));
      }
    }
    if (!interrupted) {
      return list;
    }
  }
  return fail(ErrorCode::Unavailable, "{}: the list changes faster than it can be read", call);
}

Result<> Socket::batch(std::vector<MessageBuilder> messages, std::uint16_t subsystem,
                       std::string_view call) {
  const auto bracket = [&](std::uint16_t type) {
    MessageBuilder builder(type, 0);
    builder.body(
        nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(subsystem)});
    return builder;
  };
  std::vector<std::byte> bytes;
  const auto add = [&](MessageBuilder& message) {
    const Bytes finished = message.finish(++sequence_);
    bytes.insert(bytes.end(), finished.begin(), finished.end());
  };
  MessageBuilder begin = bracket(NFNL_MSG_BATCH_BEGIN);
  add(begin);
  const std::uint32_t first = sequence_ + 1;
  for (MessageBuilder& message : messages) {
    add(message);
  }
  const std::uint32_t last = sequence_;
  MessageBuilder end = bracket(NFNL_MSG_BATCH_END);
  add(end);
  BH_TRY(send(bytes, call));
  // Each message is acknowledged for itself; the first refusal undoes all of them.
  std::uint32_t acknowledged = first;
  while (true) {
    for (const Message& answer : BH_TRY(receive(call))) {
      if (answer.type != NLMSG_ERROR || answer.sequence + 1 < first) {
        continue;
      }
      BH_TRY(parse_acknowledgement(answer, call));
      acknowledged = answer.sequence;
    }
    if (acknowledged >= last) {
      return {};
    }
  }
}

}  // namespace bulkhead::netlink
