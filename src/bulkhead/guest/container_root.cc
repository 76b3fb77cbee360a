#include "bulkhead/guest/container_root.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/disks.h"
#include "bulkhead/guest/host_mounts.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/guest/mount_options.h"
#include "bulkhead/guest/root_path.h"
#include "bulkhead/guest/sysctl.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/privilege.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

// MOUNT_ATTR_*, whose header this libc cannot share.
constexpr std::uint64_t kReadOnly = 1;
constexpr std::uint64_t kNoSuid = 2;
constexpr std::uint64_t kNoDevices = 4;
constexpr std::uint64_t kNoExecution = 8;

struct PlannedMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

std::vector<PlannedMount> default_mounts() {
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
  };
}

/// Of a StartRequest or a PrepareRequest.
template <class Request>
std::vector<PlannedMount> planned_mounts(const Request& plan) {
  if (plan.mounts().empty()) {
    return default_mounts();
  }
  std::vector<PlannedMount> mounts;
  for (const agent::v1::Mount& mount : plan.mounts()) {
    mounts.push_back({.destination = mount.destination(),
                      // A specification written for version 1 gets what there is.
                      .type = mount.type(),
                      .source = mount.source(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  return mounts;
}

Result<os::UniqueFd> open_root() { return os::open_file("/", O_PATH | O_DIRECTORY); }

std::string generated_file(int index) { return fmt::format("{}/{}", kFilesDirectory, index); }

Result<os::UniqueFd> clone_file(const std::string& path) {
  const os::UniqueFd file = BH_TRY(os::open_file(path, O_PATH));
  return os::clone_tree(file.get());
}

/// Detached binds of files of PID 1's, taken while they are in view. One for each use: a detached
/// mount cannot be copied.
Result<std::vector<os::UniqueFd>> clone_generated_files(int count) {
  std::vector<os::UniqueFd> files;
  files.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    files.push_back(BH_TRY(clone_file(generated_file(i))));
  }
  return files;
}

Result<std::vector<os::UniqueFd>> clone_null_devices(int count) {
  std::vector<os::UniqueFd> devices;
  devices.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    devices.push_back(BH_TRY(clone_file("/dev/null")));
  }
  return devices;
}

/// What applies to one mount and not to the whole file system, of MS_* flags.
std::uint64_t attributes_of(unsigned long flags) {
  std::uint64_t attributes = 0;
  attributes |= (flags & MS_RDONLY) != 0 ? kReadOnly : 0;
  attributes |= (flags & MS_NOSUID) != 0 ? kNoSuid : 0;
  attributes |= (flags & MS_NODEV) != 0 ? kNoDevices : 0;
  attributes |= (flags & MS_NOEXEC) != 0 ? kNoExecution : 0;
  return attributes;
}

Result<> attach_host_mount(int root, const PlannedMount& mount, int host_mount) {
  const MountOptions options = BH_TRY(parse_mount_options(mount.options));
  const bool is_directory = BH_TRY(os::file_info(host_mount)).is_directory();
  const os::UniqueFd target = BH_TRY(open_or_make_in_root(
      root, mount.destination, is_directory ? TargetKind::Directory : TargetKind::File));
  BH_TRY(os::set_mount_attributes(host_mount, attributes_of(options.flags), os::TreeDepth::One));
  return os::attach_mount(host_mount, target.get());
}

Result<> mount_planned(int root, const PlannedMount& mount) {
  MountOptions options = BH_TRY(parse_mount_options(mount.options));
  if ((options.flags & (MS_BIND | MS_REMOUNT)) != 0) {
    return fail(ErrorCode::Invalid, "type {} cannot be bound or remounted", quote(mount.type));
  }
  if (mount.destination == "/dev") {
    options.flags &= ~static_cast<unsigned long>(MS_RDONLY);  // its nodes are still to be made
  }
  const os::UniqueFd target =
      BH_TRY(open_or_make_in_root(root, mount.destination, TargetKind::Directory));
  BH_TRY(os::change_directory(target.get()));
  BH_TRY(os::mount({.source = mount.source.empty() ? mount.type : mount.source,
                    .target = ".",
                    .type = mount.type == "cgroup" ? "cgroup2" : mount.type,
                    .flags = options.flags,
                    .data = options.data}));
  constexpr unsigned long kWhatMountsAre = MS_PRIVATE;
  if ((options.propagation & ~static_cast<unsigned long>(MS_REC)) != kWhatMountsAre &&
      options.propagation != 0) {
    const os::UniqueFd mounted =
        BH_TRY(os::open_in_root(root, mount.destination, O_PATH | O_DIRECTORY));
    BH_TRY(os::change_directory(mounted.get()));
    BH_TRY(os::mount(
        {.source = "", .target = ".", .type = "", .flags = options.propagation, .data = {}}));
  }
  return {};
}

struct DeviceNode {
  const char* name;
  unsigned major;
  unsigned minor;
};

constexpr std::array kDevices = {
    DeviceNode{"null", 1, 3},   DeviceNode{"zero", 1, 5},    DeviceNode{"full", 1, 7},
    DeviceNode{"random", 1, 8}, DeviceNode{"urandom", 1, 9}, DeviceNode{"tty", 5, 0},
};

struct DeviceLink {
  const char* name;
  const char* target;
};

constexpr std::array kLinks = {
    DeviceLink{"fd", "/proc/self/fd"},       DeviceLink{"stdin", "/proc/self/fd/0"},
    DeviceLink{"stdout", "/proc/self/fd/1"}, DeviceLink{"stderr", "/proc/self/fd/2"},
    DeviceLink{"ptmx", "pts/ptmx"},
};

Result<> tolerate_existing(Result<> made) {
  return made || made.error().os_error() == EEXIST ? Result<>() : std::move(made);
}

/// Only where the plan has mounted a /dev: an image's own directory is left as it is.
Result<> populate_dev(int root, const std::vector<PlannedMount>& mounts) {
  const auto dev = std::ranges::find(mounts, "/dev", &PlannedMount::destination);
  if (dev == mounts.end()) {
    return {};
  }
  const os::UniqueFd directory = BH_TRY(os::open_in_root(root, "/dev", O_RDONLY | O_DIRECTORY));
  for (const DeviceNode& node : kDevices) {
    BH_TRY(tolerate_existing(os::make_node_at(directory.get(), node.name, S_IFCHR | 0666,
                                              ::makedev(node.major, node.minor))));
  }
  for (const DeviceLink& link : kLinks) {
    BH_TRY(tolerate_existing(os::make_symlink_at(directory.get(), link.name, link.target)));
  }
  if (os::path_exists("/proc/kcore")) {
    BH_TRY(tolerate_existing(os::make_symlink_at(directory.get(), "core", "/proc/kcore")));
  }
  if ((BH_TRY(parse_mount_options(dev->options)).flags & MS_RDONLY) != 0) {
    BH_TRY(os::set_mount_attributes(directory.get(), kReadOnly, os::TreeDepth::One));
  }
  return {};
}

/// Nothing when it does not exist, which is fine for what is to be masked or read-only.
Result<os::UniqueFd> open_if_there(int root, const std::string& path) {
  auto opened = os::open_in_root(root, path, O_PATH);
  if (!opened && (opened.error().os_error() == ENOENT || opened.error().os_error() == ENOTDIR)) {
    return os::UniqueFd();
  }
  return opened;
}

/// `null_device` is a detached bind of it.
Result<> mask(int root, const std::string& path, int null_device) {
  const os::UniqueFd target = BH_TRY(open_if_there(root, path));
  if (!target.is_open()) {
    return {};
  }
  if (BH_TRY(os::file_info(target.get())).is_directory()) {
    BH_TRY(os::change_directory(target.get()));
    return os::mount({.source = "tmpfs",
                      .target = ".",
                      .type = "tmpfs",
                      .flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                      .data = "size=0,nr_inodes=2"});
  }
  return os::attach_mount(null_device, target.get());
}

Result<> make_read_only(int root, const std::string& path) {
  const os::UniqueFd target = BH_TRY(open_if_there(root, path));
  if (!target.is_open()) {
    return {};
  }
  const os::UniqueFd copy = BH_TRY(os::clone_tree(target.get(), os::TreeDepth::Recursive));
  BH_TRY(os::set_mount_attributes(copy.get(), kReadOnly, os::TreeDepth::Recursive));
  return os::attach_mount(copy.get(), target.get());
}

Result<> bind_file(int root, const std::string& path, const os::UniqueFd& file) {
  const os::UniqueFd target = BH_TRY(open_or_make_in_root(root, path, TargetKind::File));
  return os::attach_mount(file.get(), target.get());
}

/// `host_mount`: closed unless it is one that the host gives.
Result<> mount_one(int root, const PlannedMount& mount, const os::UniqueFd& host_mount) {
  const auto make = [&]() -> Result<> {
    if (!mount.destination.starts_with('/')) {
      return fail(ErrorCode::Invalid, "destination: not an absolute path");
    }
    return host_mount.is_open() ? attach_host_mount(root, mount, host_mount.get())
                                : mount_planned(root, mount);
  };
  return make().context("mount " + quote(mount.destination));
}

/// `host_mounts`: for each mount, or none at all.
Result<> mount_all(int root, const std::vector<PlannedMount>& mounts,
                   const std::vector<os::UniqueFd>& host_mounts) {
  const os::UniqueFd none;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    BH_TRY(mount_one(root, mounts[i], i < host_mounts.size() ? host_mounts[i] : none));
  }
  return populate_dev(root, mounts).context("/dev");
}

Result<> bind_files(int root, const agent::v1::StartRequest& plan,
                    const std::vector<os::UniqueFd>& files) {
  for (int i = 0; i < plan.files_size(); ++i) {
    BH_TRY(bind_file(root, plan.files(i).path(), files[static_cast<std::size_t>(i)])
               .about(plan.files(i).path()));
  }
  return {};
}

/// Read-only and masked ones, of a StartRequest or a PrepareRequest.
template <class Request>
Result<> cover_paths(int root, const Request& plan, const std::vector<os::UniqueFd>& null_devices) {
  for (const std::string& path : plan.readonly_paths()) {
    BH_TRY(make_read_only(root, path).context("read-only path " + quote(path)));
  }
  for (int i = 0; i < plan.masked_paths_size(); ++i) {
    BH_TRY(mask(root, plan.masked_paths(i), null_devices[static_cast<std::size_t>(i)].get())
               .context("masked path " + quote(plan.masked_paths(i))));
  }
  return {};
}

/// Where those mounts go that do not lie on another one.
std::vector<std::string> topmost(const std::vector<PlannedMount>& mounts) {
  std::vector<std::string> tops;
  for (const PlannedMount& mount : mounts) {
    const bool lies_on_one = std::ranges::any_of(
        tops, [&](const std::string& top) { return mount.destination.starts_with(top + "/"); });
    if (!lies_on_one) {
      tops.push_back(mount.destination);
    }
  }
  return tops;
}

}  // namespace

Result<> mount_files_directory() {
  return os::mount({.source = "files",
                    .target = kFilesDirectory,
                    .type = "tmpfs",
                    .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC,
                    .data = "size=4m,mode=755"});
}

Result<> renew_files_directory() {
  BH_TRY(os::unmount(kFilesDirectory));
  return mount_files_directory();
}

Result<> write_generated_files(const agent::v1::StartRequest& plan) {
  for (int i = 0; i < plan.files_size(); ++i) {
    const agent::v1::GeneratedFile& file = plan.files(i);
    const mode_t mode = file.mode() == 0 ? 0644 : file.mode() & 0777U;
    const os::UniqueFd out =
        BH_TRY(os::open_file(generated_file(i), O_WRONLY | O_CREAT | O_EXCL, mode));
    BH_TRY(os::write_all(out.get(), as_bytes(file.content())).context(file.path()));
  }
  return {};
}

Result<> set_up_namespaces(const agent::v1::StartRequest& plan) {
  if (!plan.hostname().empty()) {
    BH_TRY(os::set_host_name(plan.hostname()));
  }
  for (const agent::v1::Sysctl& setting : plan.sysctls()) {
    const std::string path = "/proc/sys/" + BH_TRY(sysctl_path(setting.name()));
    const std::string what = "sysctl " + quote(setting.name());
    BH_TRY(os::write_setting(path, setting.value()).context(what));
  }
  return {};
}

Result<> enter_container_root(const agent::v1::StartRequest& plan) {
  const auto files = BH_TRY(clone_generated_files(plan.files_size()));
  const auto null_devices = BH_TRY(clone_null_devices(plan.masked_paths_size()));
  auto data_disks = BH_TRY(clone_data_disks(plan));
  const auto host_mounts = BH_TRY(open_host_mounts(plan, std::move(data_disks)));
  BH_TRY(os::change_directory(kContainerRoot));
  BH_TRY(os::pivot_to_current_directory());
  const os::UniqueFd root = BH_TRY(open_root());
  BH_TRY(mount_all(root.get(), planned_mounts(plan), host_mounts));
  BH_TRY(bind_files(root.get(), plan, files));
  BH_TRY(cover_paths(root.get(), plan, null_devices));
  return os::change_directory("/");
}

Result<> stage_mounts(const agent::v1::PrepareRequest& request) {
  const auto null_devices = BH_TRY(clone_null_devices(request.masked_paths_size()));
  BH_TRY(os::mount({.source = "stage", .target = kStageDirectory, .type = "tmpfs"}));
  const os::UniqueFd stage = BH_TRY(os::open_file(kStageDirectory, O_PATH | O_DIRECTORY));
  BH_TRY(mount_all(stage.get(), planned_mounts(request), {}));
  BH_TRY(cover_paths(stage.get(), request, null_devices));
  return os::change_directory("/");
}

Result<> enter_staged_root(const agent::v1::PrepareRequest& staged,
                           const agent::v1::StartRequest& plan, int root_mount,
                           std::vector<os::UniqueFd> data_disks) {
  const auto host_mounts = BH_TRY(open_host_mounts(plan, std::move(data_disks)));
  const auto files = BH_TRY(clone_generated_files(plan.files_size()));
  BH_TRY(os::attach_mount(root_mount,
                          BH_TRY(os::open_file(kContainerRoot, O_PATH | O_DIRECTORY)).get()));
  const os::UniqueFd root = BH_TRY(os::open_file(kContainerRoot, O_PATH | O_DIRECTORY));
  const os::UniqueFd stage = BH_TRY(os::open_file(kStageDirectory, O_PATH | O_DIRECTORY));
  for (const std::string& destination : topmost(planned_mounts(staged))) {
    const os::UniqueFd from =
        BH_TRY(os::open_in_root(stage.get(), destination, O_PATH | O_DIRECTORY));
    const os::UniqueFd to =
        BH_TRY(open_or_make_in_root(root.get(), destination, TargetKind::Directory));
    // With what is mounted below it.
    BH_TRY(os::attach_mount(from.get(), to.get()).context("mount " + quote(destination)));
  }
  const std::vector<PlannedMount> mounts = planned_mounts(plan);
  for (auto i = static_cast<std::size_t>(staged.mounts_size()); i < host_mounts.size(); ++i) {
    BH_TRY(mount_one(root.get(), mounts[i], host_mounts[i]));
  }
  BH_TRY(bind_files(root.get(), plan, files));
  BH_TRY(os::change_directory(root.get()));
  BH_TRY(os::pivot_to_current_directory());
  return os::change_directory("/");
}

Result<> bind_console(int terminal) {
  const os::UniqueFd root = BH_TRY(open_root());
  const os::UniqueFd target =
      BH_TRY(open_or_make_in_root(root.get(), "/dev/console", TargetKind::File));
  const os::UniqueFd console = BH_TRY(os::clone_tree(terminal));
  return os::attach_mount(console.get(), target.get()).context("/dev/console");
}

Result<> seal_root() {
  const os::UniqueFd root = BH_TRY(open_root());
  return os::set_mount_attributes(root.get(), kReadOnly, os::TreeDepth::One)
      .context("read-only root");
}

}  // namespace bulkhead::guest
