// Records of layers, replayed from an image whose blocks are all different: no crash, no more
// memory than the device may hold, and what was recorded on the way is replayed to the same image.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_record.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

namespace {

using namespace bulkhead;

constexpr std::uint64_t kBlocks = 2048;
constexpr std::size_t kBlockBytes = 4096;

os::UniqueFd make_image() {
  os::UniqueFd image = os::make_memfd("image").value();
  for (std::uint64_t block = 0; block < kBlocks; ++block) {
    const std::string content(kBlockBytes, static_cast<char>(1 + block % 255));
    BH_CHECK(os::pwrite_all(image.get(), as_bytes(content), block * kBlockBytes).has_value());
  }
  return image;
}

struct Replayed {
  std::string record;
  std::vector<std::byte> image;
};

std::optional<Replayed> replay(Bytes bytes, int image, std::uint64_t blocks) {
  // Holes cost nothing but their extent trees.
  ext4::MemoryDevice device(std::uint64_t{32} << 20U);
  auto formatter = ext4::Formatter::create(
      device,
      {.limit_bytes = std::uint64_t{32} << 20U, .keep_replaced = true, .max_inodes = 10'000});
  BH_CHECK(formatter.has_value());
  archive::BytesReader source(bytes, 1000);
  ext4::LayerRecordReader record(source, blocks);
  archive::MemoryWriter out;
  ext4::LayerRecorder recorder(out);
  if (!ext4::replay_layer(*formatter, record, image, recorder)) {
    return std::nullopt;
  }
  const auto result = std::move(*formatter).finish();
  if (!result) {
    return std::nullopt;
  }
  return Replayed{.record = out.content(),
                  .image = device.read(0, static_cast<std::size_t>(result->size_bytes))};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const os::UniqueFd kImage = make_image();
  const auto once = replay({reinterpret_cast<const std::byte*>(data), size}, kImage.get(), kBlocks);
  if (!once) {
    return 0;
  }
  const os::UniqueFd image = os::make_memfd("once").value();
  BH_CHECK(os::pwrite_all(image.get(), once->image, 0).has_value());
  const auto again = replay(as_bytes(once->record), image.get(), once->image.size() / kBlockBytes);
  BH_CHECK(again.has_value());
  BH_CHECK(again->record == once->record);
  BH_CHECK(again->image == once->image);
  return 0;
}
