// A server's bytes against the client's state machine, with calls of every kind outstanding. The
// first byte cuts the rest into pieces.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/client_protocol.h"

namespace {

using bulkhead::Bytes;
using bulkhead::Result;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  if (size == 0) {
    return 0;
  }
  bulkhead::SteadyTime now;
  int asked = 0;
  int answered = 0;
  const auto protocol =
      bulkhead::ttrpc::ClientProtocol::create([](const std::string&) { return Result<>(); });
  for (int i = 0; i < 3; ++i) {
    bulkhead::ttrpc::UnaryDone done = [&](const Result<std::string>& result) {
      BH_CHECK(result.has_value() || result.error().message().size() < 2000);
      ++answered;
    };
    std::ignore =
        protocol->call("s", "m", "", {.timeout = std::chrono::milliseconds(3 + i)}, now, done);
    ++asked;
    bulkhead::ttrpc::StreamEvents events{
        .on_message = [](Bytes bytes) { return bytes.size() != 5; },
        .on_end = [&](const Result<>&) { ++answered; }};
    std::ignore = protocol->open("s", "m", "", {}, now, events);
    ++asked;
    bulkhead::ttrpc::UnaryDone upload = [&](const Result<std::string>&) { ++answered; };
    std::ignore = protocol->open_upload("s", "m", {}, now, upload);
    ++asked;
  }
  const std::size_t step = data[0] == 0 ? size : data[0];
  auto rest = std::as_bytes(std::span(data, size)).subspan(1);
  while (!rest.empty()) {
    const auto piece = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(piece.size());
    protocol->receive(piece);
    now += std::chrono::microseconds(100);
    protocol->expire(now);
  }
  protocol->close({bulkhead::ErrorCode::Cancelled, "end"});
  BH_CHECK(asked == answered);
  return 0;
}
