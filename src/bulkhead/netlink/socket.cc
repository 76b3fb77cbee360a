#include "bulkhead/netlink/socket.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/os/netlink_socket.h"

namespace bulkhead::netlink {
namespace {

// The kernel fills dumps into what the reader offers, up to 32 KiB.
constexpr std::size_t kReceiveSize = 64U << 10U;
constexpr std::size_t kMostDumped = 100'000;
constexpr int kMostDumpTries = 8;

}  // namespace

Result<Socket> Socket::open(Protocol protocol) {
  auto fd =
      BH_TRY(os::open_netlink(protocol == Protocol::Route ? NETLINK_ROUTE : NETLINK_NETFILTER));
  return Socket(std::move(fd));
}

Result<> Socket::send(Bytes bytes, std::string_view call) {
  return os::send_to_kernel(fd_.get(), bytes).context(call);
}

Result<std::vector<Message>> Socket::receive(std::string_view call) {
  std::vector<std::byte> buffer(kReceiveSize);
  const std::size_t n = BH_TRY(os::receive_from_kernel(fd_.get(), buffer).context(call));
  return parse_messages(Bytes(buffer).first(n));
}

Result<> Socket::request(MessageBuilder message, std::string_view call) {
  const std::uint32_t sequence = ++sequence_;
  BH_TRY(send(message.finish(sequence, NLM_F_ACK), call));
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
        if (answer.type == NLMSG_DONE) {
          BH_TRY(parse_end_of_list(answer, call));
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
  const auto add = [&](MessageBuilder& message, std::uint16_t flags) {
    const Bytes finished = message.finish(++sequence_, flags);
    bytes.insert(bytes.end(), finished.begin(), finished.end());
  };
  MessageBuilder begin = bracket(NFNL_MSG_BATCH_BEGIN);
  add(begin, 0);
  const std::uint32_t first = sequence_ + 1;
  for (MessageBuilder& message : messages) {
    add(message, NLM_F_ACK);
  }
  const std::uint32_t last = sequence_;
  MessageBuilder end = bracket(NFNL_MSG_BATCH_END);
  add(end, 0);
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
