// Tar into ext4, two layers of the same stream: no crash, no more memory than the device may hold,
// and in an image that is finished our reader, who believes nothing, finds nothing wrong.
// Checksums of headers are made right, so that damage reaches the code behind them.
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/ext4/checker.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/ext4/tar_importer.h"

#include "tar_checksums.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  constexpr std::uint64_t kMostRead = std::uint64_t{32} << 20U;
  ext4::MemoryDevice device(std::uint64_t{16} << 20U);
  const std::uint64_t fixed_size = size % 2 == 0 ? 0 : std::uint64_t{2} << 20U;
  const std::uint32_t block_size = 1024U << (size / 2 % 3);
  auto formatter = ext4::Formatter::create(
      device, {.size_bytes = fixed_size, .block_size = block_size, .max_inodes = 10'000});
  BH_CHECK(formatter.has_value());
  const std::vector<std::byte> bytes =
      fuzz::with_tar_checksums({reinterpret_cast<const std::byte*>(data), size});
  for (int layer = 0; layer < 2; ++layer) {
    archive::BytesReader reader(bytes, 1000);
    if (!ext4::apply_layer(*formatter, reader, {.limits = {.entries = 1000}})) {
      return 0;
    }
  }
  const auto result = std::move(*formatter).finish();
  if (!result) {
    return 0;
  }
  BH_CHECK(device.size() == result->size_bytes);
  if (result->size_bytes > kMostRead) {
    return 0;
  }
  const std::vector<std::byte> content =
      device.read(0, static_cast<std::size_t>(result->size_bytes));
  ext4::MemorySource source(content);
  auto image = ext4::Image::open(source);
  BH_CHECK(image.has_value());
  BH_CHECK(ext4::check_image(*image).has_value());
  return 0;
}
