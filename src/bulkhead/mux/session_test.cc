#include "bulkhead/mux/session.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::mux {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t kEpoch = 0x1122334455667788;

std::string frame(int type, StreamId id, std::uint32_t value, const std::string& payload = {}) {
  const FrameHeader header{.type = static_cast<std::uint8_t>(type),
                           .reserved = 0,
                           .epoch = static_cast<std::uint16_t>(kEpoch & 0xffffU),
                           .stream = id,
                           .value = value};
  return std::string(as_text(object_bytes(header))) + payload;
}

std::string data_frame(StreamId id, const std::string& payload) {
  return frame(3, id, static_cast<std::uint32_t>(payload.size()), payload);
}

std::string hello(std::uint32_t role, std::uint64_t epoch = kEpoch, std::uint32_t version = 1) {
  const HelloPayload payload{.magic = {'B', 'H', 'M', 'U', 'X', '\r', '\n', '\x1a'},
                             .epoch = epoch,
                             .version = version,
                             .role = role};
  FrameHeader header{.type = 1, .stream = 0U, .value = std::uint32_t{sizeof payload}};
  header.epoch = static_cast<std::uint16_t>(epoch & 0xffffU);
  return std::string(as_text(object_bytes(header))) + std::string(as_text(object_bytes(payload)));
}

/// A session and what it told its user.
struct Side {
  Side(Role role, std::uint64_t epoch)
      : session(role, epoch,
                {.on_ready = [this] { ++ready; },
                 .on_open = [this](StreamId id) { opened.push_back(id); },
                 .on_work = [this] { ++work; }}) {}

  StreamEvents events(StreamId id, bool consume = true) {
    return {.on_data =
                [this, id, consume](Bytes bytes) {
                  received[id] += as_text(bytes);
                  if (consume) {
                    session.consume(id, bytes.size());
                  }
                },
            .on_end = [this, id] { ended.push_back(id); },
            .on_writable = [this, id] { writable.push_back(id); },
            .on_reset =
                [this, id](const Error& error) {
                  resets.emplace_back(id);
                  reset_codes.push_back(error.code());
                }};
  }

  std::string take_output(std::size_t limit = SIZE_MAX) {
    const Bytes output = session.output();
    std::string taken(as_text(output.first(std::min(limit, output.size()))));
    session.consume_output(taken.size());
    return taken;
  }

  Result<> give(const std::string& bytes) { return session.receive(as_bytes(bytes)); }

  int ready = 0;
  int work = 0;
  std::vector<StreamId> opened;
  std::map<StreamId, std::string> received;
  std::vector<StreamId> ended;
  std::vector<StreamId> writable;
  std::vector<StreamId> resets;
  std::vector<ErrorCode> reset_codes;
  Session session;
};

class SessionTest : public ::testing::Test {
 protected:
  /// Carries bytes both ways, in pieces of `step`, until nothing moves.
  void pump(std::size_t step = SIZE_MAX) {
    bool moved = true;
    while (moved) {
      host_.session.process();
      guest_.session.process();
      const std::string down = host_.take_output(step);
      const std::string up = guest_.take_output(step);
      EXPECT_THAT(guest_.give(down), IsOk());
      EXPECT_THAT(host_.give(up), IsOk());
      moved = !down.empty() || !up.empty();
    }
  }

  /// A stream open on both sides.
  void open(StreamId id, bool host_consumes = true, bool guest_consumes = true) {
    ASSERT_THAT(host_.session.open(id, host_.events(id, host_consumes)), IsOk());
    pump();
    ASSERT_THAT(guest_.session.attach(id, guest_.events(id, guest_consumes)), IsOk());
  }

  /// Writes as much as is taken.
  static std::size_t fill(Side& side, StreamId id, const std::string& piece) {
    std::size_t total = 0;
    while (true) {
      const auto written = side.session.write(id, as_bytes(piece));
      if (!written || *written == 0) {
        return total;
      }
      total += *written;
    }
  }

  Side host_{Role::Host, kEpoch};
  Side guest_{Role::Guest, 1};
};

TEST_F(SessionTest, GreetsByteByByte) {
  pump(1);
  EXPECT_EQ(host_.ready, 1);
  EXPECT_EQ(guest_.ready, 1);
  EXPECT_TRUE(host_.session.is_ready());
}

TEST_F(SessionTest, TheHostNeedNotWaitForTheGreeting) {
  ASSERT_THAT(host_.session.open(1, host_.events(1)), IsOk());
  ASSERT_THAT(host_.session.write(1, as_bytes("request")), IsOkAnd(7U));
  EXPECT_THAT(guest_.give(host_.take_output()), IsOk());
  EXPECT_THAT(guest_.opened, ElementsAre(1));
  ASSERT_THAT(guest_.session.attach(1, guest_.events(1)), IsOk());
  pump();
  EXPECT_EQ(guest_.received[1], "request");
}

TEST_F(SessionTest, CarriesDataBothWaysByteByByte) {
  open(1);
  EXPECT_THAT(host_.session.write(1, as_bytes("ping")), IsOkAnd(4U));
  EXPECT_THAT(guest_.session.write(1, as_bytes("pong")), IsOkAnd(4U));
  pump(1);
  EXPECT_EQ(guest_.received[1], "ping");
  EXPECT_EQ(host_.received[1], "pong");
}

TEST_F(SessionTest, RemainsOfAnOldSessionAreDiscarded) {
  const std::string remains = data_frame(3, std::string(1000, '\1')) + hello(1, 99) +
                              hello(1).substr(0, 20) + std::string(50, '\1');
  EXPECT_THAT(host_.give(remains), IsOk());
  EXPECT_EQ(host_.ready, 0);
  EXPECT_THAT(host_.give(hello(1) + frame(2, 2, 0)), IsOk());
  EXPECT_EQ(host_.ready, 1);
  EXPECT_THAT(host_.opened, ElementsAre(2));
}

TEST_F(SessionTest, AHelloIsFoundWhereverItBegins) {
  for (std::size_t junk = 0; junk < 80; ++junk) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
      Side side(Role::Guest, 1);
      const std::string bytes = std::string(junk, '\1') + hello(0) + frame(2, 1, 0);
      for (std::size_t at = 0; at < bytes.size(); at += step) {
        ASSERT_THAT(side.give(bytes.substr(at, step)), IsOk());
      }
      ASSERT_THAT(side.opened, ElementsAre(1)) << junk << " " << step;
    }
  }
}

TEST_F(SessionTest, TheHostGivesUpOnAGuestThatNeverGreets) {
  const std::string noise(1 << 20, 'x');
  Result<> result;
  int rounds = 0;
  while (result && rounds < 10) {
    result = host_.give(noise);
    ++rounds;
  }
  EXPECT_THAT(result, IsError(ErrorCode::Corrupt));
  EXPECT_EQ(rounds, 5);
}

TEST_F(SessionTest, ANewHelloStartsTheGuestOver) {
  open(1);
  open(3);
  Side next(Role::Host, 77);
  ASSERT_THAT(next.session.open(1, next.events(1)), IsOk());
  EXPECT_THAT(guest_.give(next.take_output()), IsOk());
  EXPECT_EQ(guest_.ready, 2);
  EXPECT_THAT(guest_.resets, ::testing::UnorderedElementsAre(1, 3));
  EXPECT_THAT(guest_.reset_codes, ::testing::Each(ErrorCode::Unavailable));
  ASSERT_THAT(guest_.session.attach(1, guest_.events(1)), IsOk());
  EXPECT_THAT(guest_.session.write(1, as_bytes("new")), IsOkAnd(3U));
  EXPECT_THAT(next.give(guest_.take_output()), IsOk());
  EXPECT_EQ(next.received[1], "new");
}

TEST_F(SessionTest, AGuestAfterADisconnectWaitsForAHello) {
  open(1);
  EXPECT_THAT(guest_.session.write(1, as_bytes("lost")), IsOkAnd(4U));
  guest_.session.disconnect({ErrorCode::Unavailable, "gone"});
  EXPECT_THAT(guest_.resets, ElementsAre(1));
  EXPECT_TRUE(guest_.session.output().empty());
  EXPECT_THAT(guest_.session.open(2, {}), IsError(ErrorCode::Unavailable));
  EXPECT_THAT(guest_.give(data_frame(1, "stale") + hello(0, 5)), IsOk());
  EXPECT_EQ(guest_.ready, 2);
}

TEST_F(SessionTest, AnotherVersionIsToldApart) {
  EXPECT_THAT(host_.give(hello(1, kEpoch, 2)), IsError(ErrorCode::Unsupported));
  EXPECT_THAT(guest_.give(hello(0, kEpoch, 2)), IsError(ErrorCode::Unsupported));
  EXPECT_FALSE(guest_.session.is_ready());
}

TEST_F(SessionTest, AWindowIsSpentAndReturned) {
  open(3, true, false);
  EXPECT_EQ(fill(host_, 3, std::string(50'000, 'x')), kWindow);
  pump();
  EXPECT_EQ(guest_.received[3].size(), kWindow);
  EXPECT_EQ(host_.session.writable(3), 0U);
  host_.session.want_write(3);
  pump();
  EXPECT_TRUE(host_.writable.empty());
  guest_.session.consume(3, kWindow / 2 - 1);
  pump();
  EXPECT_EQ(host_.session.writable(3), 0U);  // not yet worth a frame
  guest_.session.consume(3, 1);
  pump();
  EXPECT_THAT(host_.writable, ElementsAre(3));
  EXPECT_EQ(fill(host_, 3, std::string(50'000, 'y')), kWindow / 2);
}

TEST_F(SessionTest, AStalledStreamStallsNoOther) {
  open(3, true, false);
  open(5);
  fill(host_, 3, std::string(kMaxPayload, 'x'));
  pump();
  EXPECT_EQ(host_.session.writable(3), 0U);
  std::size_t sent = 0;
  while (sent < 4 * kWindow) {
    const std::size_t n = fill(host_, 5, std::string(kMaxPayload, 'y'));
    ASSERT_NE(n, 0U);
    sent += n;
    pump();
  }
  EXPECT_EQ(guest_.received[5].size(), sent);
  EXPECT_EQ(guest_.received[3].size(), kWindow);
}

TEST_F(SessionTest, WritersTakeTurns) {
  std::map<StreamId, int> turns;
  std::vector<StreamId> order;
  const std::string piece(kMaxPayload, 'x');
  for (const StreamId id : {3U, 5U, 7U}) {
    auto events = host_.events(id);
    events.on_writable = [&, id] {
      // The first is greedy: it writes for as long as it is let.
      const auto written = host_.session.write(id, as_bytes(piece));
      ASSERT_THAT(written, IsOk());
      order.push_back(id);
      if (++turns[id] < 100) {
        host_.session.want_write(id);
      }
    };
    ASSERT_THAT(host_.session.open(id, std::move(events)), IsOk());
    pump();
    ASSERT_THAT(guest_.session.attach(id, guest_.events(id)), IsOk());
  }
  for (const StreamId id : {3U, 5U, 7U}) {
    host_.session.want_write(id);
  }
  pump();
  EXPECT_EQ(turns[3], 100);
  EXPECT_EQ(turns[7], 100);
  for (std::size_t i = 0; i + 3 <= order.size(); i += 3) {
    EXPECT_THAT(std::vector(order.begin() + static_cast<std::ptrdiff_t>(i),
                            order.begin() + static_cast<std::ptrdiff_t>(i) + 3),
                ::testing::UnorderedElementsAre(3, 5, 7));
  }
  EXPECT_EQ(guest_.received[5].size(), 100 * kMaxPayload);
}

TEST_F(SessionTest, OutputIsBounded) {
  for (StreamId id = 1; id < 41; id += 2) {
    open(id);
  }
  std::size_t total = 0;
  for (StreamId id = 1; id < 41; id += 2) {
    total += fill(host_, id, std::string(kMaxPayload, 'x'));
  }
  EXPECT_LE(total, kOutputLimit + kMaxPayload);
  EXPECT_GE(total, kOutputLimit);
  host_.session.want_write(39);
  host_.session.process();
  EXPECT_TRUE(host_.writable.empty());
  host_.take_output();
  host_.session.process();
  EXPECT_THAT(host_.writable, ElementsAre(39));
}

TEST_F(SessionTest, ReservesAndCommitsWithoutACopy) {
  open(3);
  MutableBytes room = host_.session.reserve(3);
  EXPECT_EQ(room.size(), kMaxPayload);
  std::memcpy(room.data(), "abc", 3);
  host_.session.commit(3, 3);
  room = host_.session.reserve(3, 2);
  EXPECT_EQ(room.size(), 2U);
  host_.session.commit(3, 0);
  EXPECT_TRUE(host_.session.reserve(99).empty());
  pump();
  EXPECT_EQ(guest_.received[3], "abc");
}

TEST_F(SessionTest, DirectionsEndByThemselves) {
  open(3);
  EXPECT_THAT(host_.session.write(3, as_bytes("last")), IsOk());
  host_.session.end(3);
  EXPECT_THAT(host_.session.write(3, as_bytes("x")), IsError(ErrorCode::FailedPrecondition));
  pump();
  EXPECT_THAT(guest_.ended, ElementsAre(3));
  EXPECT_EQ(guest_.received[3], "last");
  EXPECT_THAT(guest_.session.write(3, as_bytes("still")), IsOkAnd(5U));
  pump();
  EXPECT_EQ(host_.received[3], "still");
  guest_.session.end(3);
  EXPECT_FALSE(guest_.session.is_open(3));
  pump();
  EXPECT_THAT(host_.ended, ElementsAre(3));
  EXPECT_FALSE(host_.session.is_open(3));
  EXPECT_TRUE(host_.resets.empty());
  EXPECT_TRUE(guest_.resets.empty());
}

TEST_F(SessionTest, ResetEndsBothDirections) {
  open(3);
  EXPECT_THAT(guest_.session.write(3, as_bytes("on its way")), IsOk());
  host_.session.reset(3, ResetReason::Failed);
  EXPECT_FALSE(host_.session.is_open(3));
  pump();  // data of a stream that is gone is ignored
  EXPECT_THAT(guest_.resets, ElementsAre(3));
  EXPECT_THAT(guest_.reset_codes, ElementsAre(ErrorCode::Cancelled));
  EXPECT_TRUE(host_.resets.empty());
  EXPECT_THAT(host_.session.write(3, as_bytes("x")), IsError(ErrorCode::NotFound));
  host_.session.consume(3, 5);
  host_.session.end(3);
}

TEST_F(SessionTest, WhatComesBeforeAttachWaits) {
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  EXPECT_EQ(fill(host_, 3, std::string(kMaxPayload, 'x')), kWindow);
  host_.session.end(3);
  pump();
  EXPECT_THAT(guest_.opened, ElementsAre(3));
  ASSERT_THAT(guest_.session.attach(3, guest_.events(3)), IsOk());
  EXPECT_THAT(guest_.session.attach(3, guest_.events(3)), IsError(ErrorCode::NotFound));
  EXPECT_TRUE(guest_.received.empty());  // not from inside attach()
  pump();
  EXPECT_EQ(guest_.received[3].size(), kWindow);
  EXPECT_THAT(guest_.ended, ElementsAre(3));
  EXPECT_THAT(guest_.session.attach(5, {}), IsError(ErrorCode::NotFound));
}

TEST_F(SessionTest, AStreamResetBeforeAttachIsGone) {
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  host_.session.reset(3);
  pump();
  EXPECT_THAT(guest_.session.attach(3, guest_.events(3)), IsError(ErrorCode::NotFound));
}

TEST_F(SessionTest, StreamsNobodyWantsAreRefused) {
  Session plain(Role::Guest, 1, {});
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  ASSERT_THAT(plain.receive(as_bytes(host_.take_output())), IsOk());
  ASSERT_THAT(host_.session.receive(plain.output()), IsOk());
  EXPECT_THAT(host_.resets, ElementsAre(3));
}

TEST_F(SessionTest, IdsOnlyGrowAndAreOfOneSide) {
  EXPECT_THAT(host_.session.open(0, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(host_.session.open(2, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(host_.session.open(5, {}), IsOk());
  EXPECT_THAT(host_.session.open(5, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(host_.session.open(3, {}), IsError(ErrorCode::Invalid));
  EXPECT_THAT(guest_.session.open(2, {}), IsError(ErrorCode::Unavailable));
  pump();
  EXPECT_THAT(guest_.session.open(2, {}), IsOk());
}

TEST_F(SessionTest, StreamsAreBounded) {
  for (StreamId i = 0; i < kMaxStreams; ++i) {
    ASSERT_THAT(host_.session.open((2 * i) + 1, {}), IsOk());
  }
  EXPECT_THAT(host_.session.open((2 * kMaxStreams) + 1, {}), IsError(ErrorCode::ResourceExhausted));
  pump();
  EXPECT_EQ(guest_.opened.size(), kMaxStreams);
  host_.session.reset(1);
  EXPECT_THAT(host_.session.open((2 * kMaxStreams) + 1, {}), IsOk());
  pump();
}

TEST_F(SessionTest, CallbacksMayResetTheirOwnStream) {
  StreamEvents events;
  events.on_data = [this](Bytes) { guest_.session.reset(3); };
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  pump();
  ASSERT_THAT(guest_.session.attach(3, std::move(events)), IsOk());
  EXPECT_THAT(host_.session.write(3, as_bytes("a")), IsOk());
  EXPECT_THAT(host_.session.write(3, as_bytes("b")), IsOk());
  pump();
  EXPECT_THAT(host_.resets, ElementsAre(3));
}

TEST_F(SessionTest, CallbacksMayShutTheSessionDown) {
  StreamEvents events;
  events.on_data = [this](Bytes) { guest_.session.shutdown(); };
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  pump();
  ASSERT_THAT(guest_.session.attach(3, std::move(events)), IsOk());
  EXPECT_THAT(host_.session.write(3, as_bytes("a")), IsOk());
  EXPECT_THAT(host_.session.write(3, as_bytes("b")), IsOk());
  EXPECT_THAT(guest_.give(host_.take_output()), IsOk());
  EXPECT_TRUE(guest_.session.output().empty());
}

struct Attack {
  const char* name;
  std::string bytes;
};

class HostilePeerTest : public SessionTest, public ::testing::WithParamInterface<Attack> {};

TEST_P(HostilePeerTest, EndsTheHostsSession) {
  ASSERT_THAT(host_.session.open(1, host_.events(1)), IsOk());
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  ASSERT_THAT(host_.give(hello(1)), IsOk());
  const auto result = host_.give(GetParam().bytes);
  EXPECT_THAT(result,
              ::testing::AnyOf(IsError(ErrorCode::Corrupt), IsError(ErrorCode::ResourceExhausted)));
  EXPECT_THAT(host_.resets, ::testing::IsSupersetOf({1U, 3U}));
  EXPECT_THAT(host_.session.open(5, {}), IsError(ErrorCode::Unavailable));
  EXPECT_TRUE(host_.session.output().empty());
}

TEST_P(HostilePeerTest, EndsTheHostsSessionByteByByte) {
  ASSERT_THAT(host_.session.open(1, host_.events(1)), IsOk());
  ASSERT_THAT(host_.session.open(3, host_.events(3)), IsOk());
  ASSERT_THAT(host_.give(hello(1)), IsOk());
  Result<> result;
  for (const char c : GetParam().bytes) {
    result = host_.give(std::string(1, c));
    if (!result) {
      break;
    }
  }
  EXPECT_FALSE(result.has_value());
}

std::string repeat(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) {
    result += text;
  }
  return result;
}

std::string many_opens(std::size_t count) {
  std::string result;
  for (StreamId i = 1; i <= count; ++i) {
    result += frame(2, 2 * i, 0);
  }
  return result;
}

std::string without_reserved(std::string bytes) {
  bytes[1] = 1;
  return bytes;
}

std::string another_epoch(std::string bytes) {
  bytes[2] = 0;
  return bytes;
}

INSTANTIATE_TEST_SUITE_P(
    Attacks, HostilePeerTest,
    ::testing::Values(
        Attack{"TypeZero", frame(0, 1, 0)}, Attack{"Type7", frame(7, 1, 0)},
        Attack{"Type255", frame(255, 1, 0)}, Attack{"SecondHello", hello(1)},
        Attack{"HostsHello", hello(0)}, Attack{"BrokenHello", frame(1, 0, 24, repeat("x", 24))},
        Attack{"LongHello", frame(1, 0, 0xffffffff, repeat("x", 24))},
        Attack{"Reserved", without_reserved(frame(4, 1, 1))},
        Attack{"OldEpoch", another_epoch(data_frame(1, "x"))}, Attack{"OpenZero", frame(2, 0, 0)},
        Attack{"OpenOurs", frame(2, 5, 0)}, Attack{"OpenTwice", frame(2, 2, 0) + frame(2, 2, 0)},
        Attack{"OpenDown", frame(2, 4, 0) + frame(2, 2, 0)},
        Attack{"OpenTooMany", many_opens(kMaxStreams + 1)}, Attack{"OpenAll", many_opens(65535)},
        Attack{"DataOnZero", data_frame(0, "x")}, Attack{"DataNeverOpened", data_frame(5, "x")},
        Attack{"DataTheirs", data_frame(2, "x")}, Attack{"DataEmpty", frame(3, 1, 0)},
        Attack{"DataTooLong", frame(3, 1, kMaxPayload + 1)},
        Attack{"DataHuge", frame(3, 1, 0xffffffff)},
        Attack{"DataBeyondWindow", frame(2, 2, 0) + repeat(data_frame(2, repeat("x", kMaxPayload)),
                                                           (kWindow / kMaxPayload) + 1)},
        Attack{"DataAfterEnd", frame(5, 1, 0) + data_frame(1, "x")},
        Attack{"EndTwice", frame(5, 1, 0) + frame(5, 1, 0)},
        Attack{"EndNeverOpened", frame(5, 7, 0)}, Attack{"CreditTooMuch", frame(4, 1, 1)},
        Attack{"CreditHuge", frame(4, 1, 0xffffffff)}, Attack{"CreditZero", frame(4, 1, 0)},
        Attack{"CreditNeverOpened", frame(4, 9, 1)}, Attack{"ResetNeverOpened", frame(6, 9, 1)}),
    [](const auto& instance) { return instance.param.name; });

TEST_F(SessionTest, ResetWithAnUnknownReasonIsAReset) {
  ASSERT_THAT(host_.session.open(1, host_.events(1)), IsOk());
  ASSERT_THAT(host_.give(hello(1) + frame(6, 1, 0xffffffff) + frame(6, 1, 1)), IsOk());
  EXPECT_THAT(host_.resets, ElementsAre(1));
}

TEST_F(SessionTest, APeerThatMakesUsAnswerAndDoesNotReadIsDropped) {
  Session plain(Role::Host, kEpoch, {});  // refuses every stream
  ASSERT_THAT(plain.receive(as_bytes(hello(1))), IsOk());
  Result<> result;
  StreamId id = 2;
  while (result && id < 1'000'000) {
    result = plain.receive(as_bytes(frame(2, id, 0)));
    id += 2;
  }
  EXPECT_THAT(result, IsError(ErrorCode::ResourceExhausted));
}

TEST_F(SessionTest, AGuestThatMetBadInputAcceptsANewSession) {
  open(1);
  EXPECT_THAT(guest_.give(frame(99, 1, 0)), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(guest_.resets, ElementsAre(1));
  EXPECT_THAT(guest_.give("noise" + hello(0, 9)), IsOk());
  EXPECT_EQ(guest_.ready, 2);
}

}  // namespace
}  // namespace bulkhead::mux
