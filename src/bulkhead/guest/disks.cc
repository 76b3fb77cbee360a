#include "bulkhead/guest/disks.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/machine.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/netlink_socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

constexpr std::size_t kLongestSerial = 256;

// Unsigned, as mount(2) has them.
constexpr unsigned long kReadOnly = MS_RDONLY;
constexpr unsigned long kNoDevices = MS_NODEV;

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

std::string data_directory(unsigned number) { return fmt::format("{}/{}", kDataDirectory, number); }

/// Until the kernel says that the disk can be opened. Its node is there a moment before.
Result<> wait_for_disk(const os::UniqueFd& events, const std::string& name) {
  constexpr int kMostEvents = 1000;
  for (int i = 0; i < kMostEvents; ++i) {
    std::array<std::byte, 8192> buffer{};
    const std::size_t size = BH_TRY(os::receive_from_kernel(events.get(), buffer));
    std::string_view event = as_text(std::span(buffer).first(size));
    event = event.substr(0, event.find('\0'));
    if (event.starts_with("add@") && event.ends_with("/block/" + name)) {
      return {};
    }
  }
  return fail(ErrorCode::Timeout, "disk {}: not there after {} events", name, kMostEvents);
}

/// The kernel lets go of the mounts of a mount namespace that has ended a moment later.
Result<> wait_until_free(const std::string& device) {
  constexpr std::chrono::milliseconds kPause{2};
  constexpr int kAttempts = 1000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto opened = os::open_file(device, O_RDONLY | O_EXCL);
    if (opened || opened.error().os_error() != EBUSY) {
      return opened ? Result<>() : opened.error();
    }
    std::this_thread::sleep_for(kPause);
  }
  return fail(ErrorCode::Timeout, "disk {}: still in use", device);
}

/// The only SCSI host looks at one target, and finds its disk. They are asked for in order, so that
/// each has the letter of its number.
Result<std::string> find_data_disk(unsigned number) {
  constexpr unsigned kKernelsGroup = 1;
  const os::UniqueFd events = BH_TRY(os::open_netlink(NETLINK_KOBJECT_UEVENT, kKernelsGroup));
  BH_TRY(os::write_setting("/sys/class/scsi_host/host0/scan", fmt::format("0 {} 0", number)));
  const std::string name = fmt::format("sd{}", static_cast<char>('a' + number));
  BH_TRY(wait_for_disk(events, name));
  return "/dev/" + name;
}

Result<> mount_data_disk(const agent::v1::Mount& mount, unsigned number) {
  if (mount.source() != std::to_string(number)) {
    return fail(ErrorCode::Invalid, "{}: not the number of the next disk", quote(mount.source()));
  }
  const bool is_read_only =
      std::ranges::find(mount.options(), std::string_view("ro")) != mount.options().end();
  const std::string device = BH_TRY(find_data_disk(number));
  const std::string directory = data_directory(number);
  BH_TRY(make_directory(directory));
  auto mounted = os::mount({.source = device,
                            .target = directory,
                            .type = "ext4",
                            .flags = is_read_only ? kReadOnly | kNoDevices : kNoDevices});
  if (!mounted && is_read_only && mounted.error().os_error() == EROFS) {
    return fail(ErrorCode::FailedPrecondition,
                "it was not unmounted cleanly; use it once without ro, or repair it with e2fsck");
  }
  return mounted;
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

Result<> unmount_root(const std::string& base_serial, const std::string& scratch_serial) {
  for (const char* mounted : {kContainerRoot, kScratchDirectory, kBaseDirectory}) {
    BH_TRY(os::unmount(mounted));
  }
  for (const std::string& serial : {base_serial, scratch_serial}) {
    BH_TRY(wait_until_free(BH_TRY(find_disk(serial))));
  }
  return {};
}

bool is_data_disk(const agent::v1::Mount& mount) { return mount.type() == "ext4"; }

Result<> mount_data_disks(const agent::v1::StartRequest& plan) {
  unsigned number = 0;
  for (const agent::v1::Mount& mount : plan.mounts()) {
    if (is_data_disk(mount)) {
      BH_TRY(mount_data_disk(mount, number++).context("disk for " + quote(mount.destination())));
    }
  }
  return {};
}

Result<std::vector<os::UniqueFd>> clone_data_disks(const agent::v1::StartRequest& plan) {
  std::vector<os::UniqueFd> clones;
  for (auto left = std::ranges::count_if(plan.mounts(), is_data_disk); left > 0; --left) {
    const std::string path = data_directory(static_cast<unsigned>(clones.size()));
    const os::UniqueFd disk = BH_TRY(os::open_file(path, O_PATH | O_DIRECTORY));
    clones.push_back(BH_TRY(os::clone_tree(disk.get())));
  }
  return clones;
}

void unmount_disks() {
  for (unsigned number = 0; os::path_exists(data_directory(number)); ++number) {
    unmount_or_detach(data_directory(number).c_str());
  }
  unmount_or_detach(kContainerRoot);
  unmount_or_detach(kScratchDirectory);
  os::sync_file_systems();
}

}  // namespace bulkhead::guest
