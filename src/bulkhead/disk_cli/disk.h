#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::disk_cli {

/// Whether people are told that a disk was not unmounted. A container's may have been in use when
/// its machine ended.
enum class DirtyDisk : std::uint8_t { Tell, IsUsual };

/// An image file that is open for reading. Nothing is ever written to it.
class Disk {
 public:
  /// Errors: NotFound; Invalid for what is no regular file; those of ext4::Image::open().
  static Result<Disk> open(const std::string& path, DirtyDisk dirty = DirtyDisk::Tell);

  [[nodiscard]] ext4::Image& image() { return image_; }

 private:
  Disk(os::UniqueFd file, std::unique_ptr<ext4::FileSource> source, ext4::Image image);

  os::UniqueFd file_;
  std::unique_ptr<ext4::FileSource> source_;  ///< on the heap: the image borrows it
  ext4::Image image_;
};

/// Text from a stranger as it may go to a terminal: what is not printable ASCII, and
/// the backslash, as \ooo.
std::string printable(std::string_view text);

}  // namespace bulkhead::disk_cli
