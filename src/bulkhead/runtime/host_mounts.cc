#include "bulkhead/runtime/host_mounts.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

bool has_option(const oci::Mount& mount, std::string_view option) {
  return std::ranges::find(mount.options, option) != mount.options.end();
}

vmm::Access access_of(const oci::Mount& mount) {
  return has_option(mount, "ro") ? vmm::Access::ReadOnly : vmm::Access::ReadWrite;
}

std::string source_path(const oci::Mount& mount, const std::string& bundle) {
  return mount.source.starts_with('/') ? mount.source : bundle + "/" + mount.source;
}

Result<vmm::Share> plan_share(const oci::Mount& mount, const std::string& bundle) {
  std::string path = source_path(mount, bundle);
  const os::FileInfo info = BH_TRY(os::file_info(path));
  if (!info.is_directory() && !info.is_regular()) {
    return fail(ErrorCode::Unsupported,
                "{}: only directories and regular files can be shared with a virtual machine",
                quote(path));
  }
  return vmm::Share{.path = std::move(path),
                    .access = access_of(mount),
                    .is_recursive = !has_option(mount, "bind")};
}

/// Whether the superblock's magic number is there. The rest of it is for the guest to judge.
Result<bool> looks_like_ext4(const os::UniqueFd& file, std::uint64_t size) {
  constexpr std::uint64_t kMagicOffset = 1024 + 0x38;
  std::array<std::byte, 2> magic{};
  if (size < kMagicOffset + magic.size()) {
    return false;
  }
  BH_TRY(os::pread_exactly(file.get(), magic, kMagicOffset));
  return magic[0] == std::byte{0x53} && magic[1] == std::byte{0xef};
}

Result<vmm::DataDisk> open_disk(const oci::Mount& mount, const std::string& bundle) {
  const std::string path = source_path(mount, bundle);
  const bool is_read_only = access_of(mount) == vmm::Access::ReadOnly;
  os::UniqueFd file = BH_TRY(os::open_file(path, (is_read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK));
  const os::FileInfo info = BH_TRY(os::file_info(file.get()));
  if (!info.is_regular() || !BH_TRY(looks_like_ext4(file, info.size))) {
    return fail(ErrorCode::Invalid, "disk {}: not an ext4 image; bulkhead disk create makes one",
                quote(path));
  }
  const auto mode = is_read_only ? os::FileLock::Mode::Shared : os::FileLock::Mode::Exclusive;
  if (!BH_TRY(os::FileLock::try_lock(file.get(), mode))) {
    return fail(ErrorCode::FailedPrecondition,
                "disk {}: in use by another container; with :ro several can have it", quote(path));
  }
  return vmm::DataDisk{.file = std::move(file), .access = access_of(mount)};
}

/// `open` for each mount that `is_wanted`.
template <class T>
Result<std::vector<T>> for_mounts(const oci::Spec& spec, const std::string& bundle,
                                  bool (*is_wanted)(const oci::Mount&),
                                  Result<T> (*open)(const oci::Mount&, const std::string&)) {
  std::vector<T> all;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_wanted(mount)) {
      all.push_back(BH_TRY(open(mount, bundle).context("mount at " + quote(mount.destination))));
    }
  }
  return all;
}

}  // namespace

bool is_share(const oci::Mount& mount) {
  return mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
}

bool is_disk(const oci::Mount& mount) { return mount.type == "ext4" && !is_share(mount); }

Result<std::vector<vmm::Share>> plan_shares(const oci::Spec& spec, const std::string& bundle) {
  return for_mounts<vmm::Share>(spec, bundle, is_share, plan_share);
}

Result<std::vector<vmm::DataDisk>> open_disks(const oci::Spec& spec, const std::string& bundle) {
  return for_mounts<vmm::DataDisk>(spec, bundle, is_disk, open_disk);
}

}  // namespace bulkhead::runtime
