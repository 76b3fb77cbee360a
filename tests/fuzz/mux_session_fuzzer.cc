// A peer's bytes against a session. The first byte chooses the role and what the user of the
// session does; the second cuts the rest into pieces. The host's epoch is 0x1122334455667788.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"

namespace {

using bulkhead::Bytes;
using bulkhead::Error;
using bulkhead::mux::kOutputLimit;
using bulkhead::mux::kWindow;
using bulkhead::mux::Role;
using bulkhead::mux::Session;
using bulkhead::mux::StreamEvents;
using bulkhead::mux::StreamId;

struct User {
  explicit User(std::uint8_t choice)
      : behaviour(choice),
        session((choice & 1U) != 0 ? Role::Guest : Role::Host, 0x1122334455667788,
                {.on_ready = nullptr,
                 .on_open = [this](StreamId id) { on_open(id); },
                 .on_work = nullptr}) {
    if ((choice & 1U) == 0) {
      std::ignore = session.open(1, events(1));
      std::ignore = session.open(3, events(3));
    }
  }

  StreamEvents events(StreamId id) {
    return {.on_data =
                [this, id](Bytes bytes) {
                  unread[id] += bytes.size();
                  BH_CHECK(unread[id] <= kWindow);
                  if ((behaviour & 2U) != 0) {
                    session.consume(id, std::exchange(unread[id], 0));
                  }
                  if ((behaviour & 4U) != 0 && bytes.size() % 7 == 0) {
                    session.reset(id);
                  }
                },
            .on_end =
                [this, id] {
                  if ((behaviour & 8U) != 0) {
                    session.end(id);
                  }
                },
            .on_writable =
                [this, id] {
                  const auto room = session.reserve(id, 5000);
                  std::ranges::fill(room, std::byte{'x'});
                  session.commit(id, room.size());
                  session.want_write(id);
                },
            .on_reset =
                [this](const Error&) {
                  if ((behaviour & 16U) != 0) {
                    session.shutdown();
                  }
                }};
  }

  void on_open(StreamId id) {
    unread.erase(id);
    if ((behaviour & 32U) != 0 && id % 3 == 0) {
      return;  // never attached
    }
    if (session.attach(id, events(id)).has_value()) {
      session.want_write(id);
    }
  }

  std::uint8_t behaviour;
  std::map<StreamId, std::size_t> unread;
  Session session;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  if (size < 2) {
    return 0;
  }
  User user(data[0]);
  const std::size_t step = data[1] == 0 ? size : data[1];
  auto rest = std::as_bytes(std::span(data, size)).subspan(2);
  while (!rest.empty()) {
    const auto piece = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(piece.size());
    if (!user.session.receive(piece)) {
      user.unread.clear();
    }
    user.session.process();
    BH_CHECK(user.session.output().size() < 3 * kOutputLimit);
    if ((data[0] & 64U) == 0) {
      user.session.consume_output(user.session.output().size());
    }
  }
  user.session.disconnect({bulkhead::ErrorCode::Unavailable, "end"});
  return 0;
}
