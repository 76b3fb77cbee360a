// Tar into ext4, two layers of the same stream: no crash, no more memory than the device may hold,
// and an image that is finished has a superblock whose checksum is right.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/tar_importer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  ext4::MemoryDevice device(std::uint64_t{16} << 20U);
  const std::uint64_t fixed_size = size % 2 == 0 ? 0 : std::uint64_t{2} << 20U;
  auto formatter =
      ext4::Formatter::create(device, {.size_bytes = fixed_size, .max_inodes = 10'000});
  BH_CHECK(formatter.has_value());
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
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
  ext4::Superblock super;
  const auto block = device.read(ext4::kSuperblockOffset, sizeof super);
  std::memcpy(&super, block.data(), sizeof super);
  BH_CHECK(super.magic == 0xef53);
  BH_CHECK(super.checksum ==
           ext4::crc32c(0xffffffff, block.empty() ? Bytes() : Bytes(block).first(1020)));
  BH_CHECK(device.size() == result->size_bytes);
  return 0;
}
