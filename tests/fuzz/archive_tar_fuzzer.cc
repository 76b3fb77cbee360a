// The tar reader: whatever the stream, names stay in the root and pieces inside their file.
// Checksums of headers are made right, so that damage reaches the code behind them.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"

#include "tar_checksums.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const std::vector<std::byte> stream =
      fuzz::with_tar_checksums({reinterpret_cast<const std::byte*>(data), size});
  archive::BytesReader source(stream, 1000);
  auto reader = archive::TarReader::create(source, {.entries = 1000});
  if (!reader) {
    return 0;
  }
  while (true) {
    const auto entry = (*reader)->next();
    if (!entry || *entry == nullptr) {
      return 0;
    }
    const std::string path((*entry)->path);
    BH_CHECK(!path.starts_with('/') && !("/" + path + "/").contains("/../"));
    BH_CHECK(path.find('\0') == std::string::npos);
    const std::uint64_t file_size = (*entry)->size;
    std::uint64_t end = 0;
    while (true) {
      const auto piece = (*reader)->next_data();
      if (!piece || !*piece) {
        break;
      }
      BH_CHECK((*piece)->offset >= end);
      end = (*piece)->offset + (*piece)->data.size();
      BH_CHECK(end <= file_size);
    }
  }
}
