// Whatever a QEMU that has been taken over may say: QmpProtocol answers with an error or goes on.

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"
#include "bulkhead/vmm/qemu/qmp_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  vmm::qemu::QmpProtocol protocol({});
  int answers = 0;
  for (int i = 0; i < 3; ++i) {
    protocol.execute("stop", {}, [&](const Result<json::Value>&) { ++answers; });
  }
  const Bytes all = std::as_bytes(std::span(data, size));
  // In two pieces, wherever the first byte says.
  const std::size_t cut = size == 0 ? 0 : data[0] % size;
  if (protocol.receive(all.first(cut))) {
    std::ignore = protocol.receive(all.subspan(cut));
  }
  std::ignore = protocol.take_output();
  protocol.abandon(fail(ErrorCode::Unavailable, "over"));
  if (answers != 3) {
    __builtin_trap();
  }
  return 0;
}
