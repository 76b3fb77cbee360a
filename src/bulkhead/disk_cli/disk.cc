#include "bulkhead/disk_cli/disk.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::disk_cli {

Disk::Disk(os::UniqueFd file, std::unique_ptr<ext4::FileSource> source, ext4::Image image)
    : file_(std::move(file)), source_(std::move(source)), image_(std::move(image)) {}

Result<Disk> Disk::open(const std::string& path, DirtyDisk dirty) {
  os::UniqueFd file = BH_TRY(os::open_file(path, O_RDONLY | O_NONBLOCK));
  const os::FileInfo info = BH_TRY(os::file_info(file.get()));
  if (!info.is_regular()) {
    return fail(ErrorCode::Invalid, "{}: not a regular file", quote(path));
  }
  auto source = std::make_unique<ext4::FileSource>(file.get(), info.size);
  auto image = ext4::Image::open(*source);
  if (!image) {
    return std::move(image).error().about(path);
  }
  if (const auto count = image->replayed_transactions(); count > 0 && dirty == DirtyDisk::Tell) {
    log::info("{} was not unmounted: read as it is after the {} transactions of its journal",
              quote(path), count);
  }
  return Disk(std::move(file), std::move(source), std::move(*image));
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || byte == '\\') {
      out += fmt::format("\\{:03o}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace bulkhead::disk_cli
