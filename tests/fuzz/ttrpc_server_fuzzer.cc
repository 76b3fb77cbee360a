// A client's bytes against the server's state machine. The first byte cuts the rest into pieces.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ttrpc/frame.h"
#include "bulkhead/ttrpc/server_protocol.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/ttrpc/test/echo.pb.h"
#include "bulkhead/ttrpc/test/echo.ttrpc.h"

namespace {

using bulkhead::Result;
using bulkhead::ttrpc::Responder;
using bulkhead::ttrpc::ServerReader;
using bulkhead::ttrpc::ServerStream;
using bulkhead::ttrpc::ServerWriter;
using bulkhead::ttrpc::test::Number;
using bulkhead::ttrpc::test::Text;

/// Answers some calls at once, keeps some, drops some.
class Service : public bulkhead::ttrpc::test::EchoService {
 public:
  void say(Text request, Responder<Text> respond) override {
    if (request.text().size() % 3 == 0) {
      respond(request);
    } else if (request.text().size() % 3 == 1) {
      kept.push_back(std::move(respond));
    }
  }

  void count(Number request, ServerWriter<Number> writer) override {
    for (std::int64_t i = 0; i < std::min<std::int64_t>(request.number(), 10); ++i) {
      std::ignore = writer.write(request);
    }
    writer.finish();
  }

  void sum_io(ServerReader<Number, Number> call) override {
    const auto reader = std::make_shared<ServerReader<Number, Number>>(std::move(call));
    reader->read(
        [reader](const Number& number) {
          if (number.number() == 7) {
            (*reader)(number);
          }
        },
        [reader] { (*reader)(Number()); });
  }

  void chat(ServerStream<Text, Text> call) override { streams.push_back(std::move(call)); }

  std::vector<Responder<Text>> kept;
  std::vector<ServerStream<Text, Text>> streams;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  if (size == 0) {
    return 0;
  }
  Service service;
  bulkhead::ttrpc::ServiceTable services;
  services.add(service);
  bulkhead::SteadyTime now;
  const auto protocol = bulkhead::ttrpc::ServerProtocol::create(
      services, {.max_calls = 8, .max_waiting_messages = 4}, [](const std::string& frame) {
        BH_CHECK(frame.size() >= sizeof(bulkhead::ttrpc::FrameHeader));
        return Result<>();
      });
  const std::size_t step = data[0] == 0 ? size : data[0];
  auto rest = std::as_bytes(std::span(data, size)).subspan(1);
  while (!rest.empty()) {
    const auto piece = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(piece.size());
    protocol->receive(piece, now);
    now += std::chrono::milliseconds(1);
    protocol->expire(now);
    BH_CHECK(protocol->active_calls() <= 8);
    if (service.streams.size() > 1) {
      service.streams.front().read([](const Text&) {}, [] {});
      service.streams.erase(service.streams.begin());
    }
    if (service.kept.size() > 2) {
      service.kept.erase(service.kept.begin());
    }
  }
  protocol->close();
  return 0;
}
