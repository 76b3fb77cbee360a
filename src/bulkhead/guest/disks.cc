#include "bulkhead/guest/disks.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/machine.h"
#include "bulkhead/os/mount.h"

namespace bulkhead::guest {
namespace {

constexpr std::size_t kLongestSerial = 256;

Result<> make_directory(const std::string& path) {
  const auto made = os::make_directory_at(AT_FDCWD, path, 0755);
  return made || made.error().os_error() == EEXIST ? Result<>() : made;
}

void unmount_or_detach(const char* target) {
  if (const auto done = os::unmount(target); !done) {
    log::warning("{}", done.error().message());
    // Whatever the reason: the data goes to the disk by sync.
    if (const auto detached = os::unmount(target, MNT_DETACH); !detached) {
      log::warning("{}", detached.error().message());
    }
  }
}

}  // namespace

Result<std::string> find_disk(const std::string& serial) {
  if (serial.empty()) {
    return fail(ErrorCode::Invalid, "disk: no serial number");
  }
  // Only virtio-blk has the attribute; it asks the device. By name, not by listing: that is less
  // for an emulated processor to translate.
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const auto found = os::read_file(fmt::format("/sys/block/vd{}/serial", letter), kLongestSerial);
    if (!found && found.error().code() == ErrorCode::NotFound) {
      break;
    }
    if (found && *found == serial) {
      return fmt::format("/dev/vd{}", letter);
    }
  }
  return fail(ErrorCode::NotFound, "disk {}: there is no such disk", quote(serial));
}

Result<> mount_root(const std::string& base_serial, const std::string& scratch_serial) {
  const std::string base = BH_TRY(find_disk(base_serial));
  // A machine that goes on from a saved one had other disks.
  BH_TRY(os::drop_block_cache(base));
  BH_TRY(os::mount({.source = base,
                    .target = kBaseDirectory,
                    .type = "ext4",
                    .flags = MS_RDONLY | MS_NOATIME})
             .context("base"));
  // The tables of a fresh disk are zero already: no thread need write zeroes over them.
  const std::string scratch = BH_TRY(find_disk(scratch_serial));
  BH_TRY(os::drop_block_cache(scratch));
  BH_TRY(os::mount({.source = scratch,
                    .target = kScratchDirectory,
                    .type = "ext4",
                    .flags = MS_NOATIME,
                    .data = "noinit_itable"})
             .context("scratch"));
  const std::string upper = std::string(kScratchDirectory) + "/upper";
  const std::string work = std::string(kScratchDirectory) + "/work";
  BH_TRY(make_directory(upper));
  BH_TRY(make_directory(work));
  // No features that make the upper layer unreadable by itself: it may become an image's layer.
  BH_TRY(os::mount({.source = "root",
                    .target = kContainerRoot,
                    .type = "overlay",
                    .data = fmt::format("lowerdir={},upperdir={},workdir={},index=off,metacopy=off,"
                                        "redirect_dir=off",
                                        kBaseDirectory, upper, work)}));
  return {};
}

void unmount_root() {
  unmount_or_detach(kContainerRoot);
  unmount_or_detach(kScratchDirectory);
  os::sync_file_systems();
}

}  // namespace bulkhead::guest
