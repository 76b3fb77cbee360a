#include "bulkhead/archive/piece_queue.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::archive {
namespace {

Result<std::string> text(Result<Bytes> piece) {
  return std::string(as_text(BH_TRY(std::move(piece))));
}

TEST(PieceQueue, GivesTheReaderWhatWasInspected) {
  PieceQueue queue(100, Inspection::Each);
  EXPECT_TRUE(queue.push(as_bytes("one")));
  EXPECT_TRUE(queue.push(as_bytes("two")));
  EXPECT_THAT(text(queue.inspect()), IsOkAnd(std::string("one")));
  EXPECT_THAT(text(queue.inspect()), IsOkAnd(std::string("two")));
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string("one")));
  queue.finish({});
  EXPECT_THAT(text(queue.inspect()), IsOkAnd(std::string()));
  queue.finish_inspection({});
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string("two")));
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string()));
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string()));
}

TEST(PieceQueue, PassesErrorsOnBehindWhatCameBefore) {
  PieceQueue queue(100, Inspection::Each);
  EXPECT_TRUE(queue.push(as_bytes("one")));
  queue.finish(fail(ErrorCode::Corrupt, "damaged"));
  EXPECT_THAT(text(queue.inspect()), IsOkAnd(std::string("one")));
  const auto end = queue.inspect();
  ASSERT_THAT(end, IsError(ErrorCode::Corrupt));
  queue.finish_inspection(end.error());
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string("one")));
  EXPECT_THAT(queue.next(), IsError(ErrorCode::Corrupt));
}

TEST(PieceQueue, NeedsNoInspector) {
  PieceQueue queue(100, Inspection::None);
  EXPECT_TRUE(queue.push(as_bytes("one")));
  EXPECT_THAT(text(queue.next()), IsOkAnd(std::string("one")));
  queue.finish(fail(ErrorCode::Corrupt, "damaged"));
  EXPECT_THAT(queue.next(), IsError(ErrorCode::Corrupt));
}

TEST(PieceQueue, WakesWhoeverWaitsWhenItIsAbandoned) {
  PieceQueue queue(1, Inspection::Each);
  EXPECT_TRUE(queue.push(as_bytes("more than the bound, but alone")));
  std::jthread pusher([&] { EXPECT_FALSE(queue.push(as_bytes("no room"))); });
  std::jthread reader([&] { EXPECT_THAT(queue.next(), IsError(ErrorCode::Cancelled)); });
  queue.abandon();
  EXPECT_THAT(queue.inspect(), IsError(ErrorCode::Cancelled));
}

TEST(PieceQueue, CarriesAStreamThroughThreeThreads) {
  PieceQueue queue(1000, Inspection::Each);
  std::string sent;
  for (int i = 0; i < 20'000; ++i) {
    sent += std::to_string(i);
  }
  std::string inspected;
  std::jthread pusher([&] {
    for (std::string_view rest = sent; !rest.empty();
         rest.remove_prefix(std::min<std::size_t>(rest.size(), 1 + rest.size() % 700))) {
      EXPECT_TRUE(queue.push(as_bytes(rest.substr(0, 1 + rest.size() % 700))));
    }
    queue.finish({});
  });
  std::jthread inspector([&] {
    for (Result<Bytes> piece = queue.inspect(); piece && !piece->empty(); piece = queue.inspect()) {
      inspected += as_text(*piece);
    }
    queue.finish_inspection({});
  });
  EXPECT_THAT(read_all(queue, sent.size()), IsOkAnd(sent));
  inspector.join();
  EXPECT_EQ(inspected, sent);
}

}  // namespace
}  // namespace bulkhead::archive
