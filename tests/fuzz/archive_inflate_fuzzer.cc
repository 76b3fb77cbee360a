// Inflate streams: the first byte chooses format and piece size, the rest is the stream.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  using archive::Compression;
  if (size == 0) {
    return 0;
  }
  const Bytes input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  archive::BytesReader source(input, (data[0] & 0x10U) != 0 ? 3 : SIZE_MAX);
  const archive::InflateLimits limits{.output_bytes = 4U << 20U};
  const auto choice = static_cast<unsigned>(data[0] & 7U);
  std::unique_ptr<archive::Reader> reader;
  if (choice > static_cast<unsigned>(Compression::Xz)) {
    auto detected = archive::detect_inflater(source, limits);
    if (!detected) {
      return 0;
    }
    reader = std::move(detected->reader);
  } else {
    auto made = archive::make_inflater(static_cast<Compression>(choice), source, limits);
    if (!made) {
      return 0;
    }
    reader = std::move(*made);
  }
  std::ignore = archive::drain(*reader);
  return 0;
}
