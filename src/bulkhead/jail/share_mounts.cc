#include "bulkhead/jail/share_mounts.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/jail/jail.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount_tree.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/privilege.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::jail {
namespace {

Result<> attach_share(const ClonedShare& cloned, int user_namespace) {
  const Share& share = *cloned.share;
  BH_TRY(os::restrict_mount(cloned.mount.get(), {.read_only = share.is_read_only,
                                                 .no_exec = true,
                                                 .no_devices = true,
                                                 .is_recursive = share.is_recursive}));
  auto mapped = os::map_mount_ids(cloned.mount.get(), user_namespace, share.is_recursive);
  if (!mapped && mapped.error().os_error() == EINVAL) {
    return fail(ErrorCode::Unsupported,
                "its file system{} cannot show files to the users of a virtual machine; ext4, xfs, "
                "btrfs and, since Linux 6.3, tmpfs can",
                share.is_recursive
                    ? ", or one that is mounted below it (option bind leaves those out),"
                    : "");
  }
  BH_TRY(std::move(mapped));
  return os::attach_mount(cloned.mount.get(), share.target);
}

Result<> attach_own_process_files() {
  const os::UniqueFd files = BH_TRY(os::make_file_system("proc", {{"subset", "pid"}}));
  BH_TRY(os::restrict_mount(files.get(), {.read_only = true, .no_exec = true, .no_devices = true}));
  return os::attach_mount(files.get(), kProcessFiles);
}

}  // namespace

Result<std::vector<ClonedShare>> clone_shares(const std::vector<Share>& shares) {
  std::vector<ClonedShare> cloned;
  cloned.reserve(shares.size());
  for (const Share& share : shares) {
    os::UniqueFd mount = BH_TRY(os::clone_mount(share.source, share.is_recursive).context("share"));
    const os::FileInfo info = BH_TRY(os::file_info(mount.get()));
    cloned.push_back(
        {.share = &share, .mount = std::move(mount), .is_directory = info.is_directory()});
  }
  return cloned;
}

Result<> attach_shares(const std::vector<ClonedShare>& shares, int namespaces) {
  const os::UniqueFd users = BH_TRY(os::open_at(namespaces, "user", O_RDONLY));
  for (const ClonedShare& cloned : shares) {
    BH_TRY(attach_share(cloned, users.get()).context("share " + quote(cloned.share->source)));
  }
  return {};
}

Result<> attach_process_files(int namespaces) {
  // A procfs shows the PID namespace of the process that makes it. To be in the inmate's one must
  // be born there.
  const os::UniqueFd processes = BH_TRY(os::open_at(namespaces, "pid", O_RDONLY));
  BH_TRY(os::join_namespaces(processes.get(), CLONE_NEWPID).context("PID namespace"));
  const pid_t child = BH_TRY(os::fork_with_flags(0));
  if (child == 0) {
    const auto attached = attach_own_process_files();
    os::exit_now(attached ? 0 : std::max(attached.error().os_error(), 1));
  }
  os::Process process = BH_TRY(os::Process::adopt(child));
  const os::ExitStatus status = BH_TRY(process.wait());
  if (status.shell_code() != 0) {
    return Error::from_errno(status.code, "process files of the jail");
  }
  return {};
}

std::uint64_t capabilities_over(const std::vector<Share>& shares) {
  const auto bit = [](unsigned capability) { return std::uint64_t{1} << capability; };
  if (shares.empty()) {
    return 0;
  }
  return std::ranges::all_of(shares, &Share::is_read_only)
             ? bit(CAP_DAC_READ_SEARCH)
             : bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FOWNER) | bit(CAP_FSETID);
}

}  // namespace bulkhead::jail
