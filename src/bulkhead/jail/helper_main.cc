// bulkhead-jail SPEC-FD REPORT-FD: becomes the jail's builder, makes one process in it and ends.
//
// Two processes:
//
//   helper    root, in a mount namespace of its own. Copies the mounts that the jail shall see,
//             replaces its root by a tmpfs and puts them there, all while it is still privileged,
//             so that the mount namespace belongs to the host: nobody in the jail can change a
//             mount, not even with every capability of the jail's user namespace.
//   inmate    cloned into new user, PID, network, IPC, UTS and cgroup namespaces as a child of the
//             helper's parent (CLONE_PARENT). Waits until the helper has mapped its one user,
//             becomes that user, gives up everything else, executes.
//
// An error of either goes to the report pipe; its closing by exec is the sign of success.

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/jail/jail.h"
#include "bulkhead/jail/seccomp.h"
#include "bulkhead/jail/share_mounts.h"
#include "bulkhead/jail/spec_codec.h"
#include "bulkhead/os/execute.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount_tree.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/privilege.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::jail {
namespace {

/// What the inmate is called in its own user namespace. Not 0: a program that believes itself root
/// behaves otherwise. Nor any id that a file in a share may have.
constexpr uid_t kInnerId = 0x80000000;

/// Where ids of files in shares, [0, 2^31 - 1), stand on the host: no process has one of these.
constexpr uid_t kFirstFileId = 0x80000000;
constexpr uid_t kFileIds = 0x7fffffff;

Result<> make_parents(const std::string& path) {
  const std::size_t end = path.rfind('/');
  return end == 0 ? Result<>() : os::make_directories(path.substr(0, end));
}

struct ClonedBind {
  const Bind* bind;
  os::UniqueFd mount;
  bool is_directory;
};

Result<std::vector<ClonedBind>> clone_binds(const std::vector<Bind>& binds) {
  std::vector<ClonedBind> cloned;
  cloned.reserve(binds.size());
  for (const Bind& bind : binds) {
    os::UniqueFd mount = BH_TRY(os::clone_mount(bind.source));
    BH_TRY(os::restrict_mount(
        mount.get(), {.read_only = true, .no_exec = !bind.is_executable, .no_devices = true}));
    const os::FileInfo info = BH_TRY(os::file_info(mount.get()));
    cloned.push_back(
        {.bind = &bind, .mount = std::move(mount), .is_directory = info.is_directory()});
  }
  return cloned;
}

Result<> make_mount_point(const std::string& target, bool is_directory) {
  if (is_directory) {
    return os::make_directories(target);
  }
  BH_TRY(make_parents(target));
  std::ignore = BH_TRY(os::open_file(target, O_WRONLY | O_CREAT | O_EXCL, 0444));
  return {};
}

Result<> attach_bind(const ClonedBind& cloned) {
  const std::string& target = cloned.bind->target;
  BH_TRY(make_mount_point(target, cloned.is_directory));
  return os::attach_mount(cloned.mount.get(), target);
}

Result<> make_devices(const JailSpec& spec) {
  constexpr unsigned kMemoryMajor = 1;
  BH_TRY(os::make_directories("/dev"));
  BH_TRY(os::make_character_device("/dev/null", 0666, makedev(kMemoryMajor, 3), 0));
  BH_TRY(os::make_character_device("/dev/urandom", 0444, makedev(kMemoryMajor, 9), 0));
  for (const DeviceNode& node : spec.devices) {
    BH_TRY(make_parents(node.target));
    BH_TRY(os::make_character_device(node.target, 0600, node.device, spec.host_id));
  }
  return {};
}

/// Answers with the shares, whose mount points are there.
Result<std::vector<ClonedShare>> build_root(const JailSpec& spec) {
  // What is mounted there still propagates to the namespace that was left, until replace_root().
  BH_TRY(os::unshare_namespaces(CLONE_NEWNS).context("mount namespace"));
  std::vector<ClonedShare> shares = BH_TRY(clone_shares(spec.shares));
  const std::vector<ClonedBind> binds = BH_TRY(clone_binds(spec.binds));
  const os::UniqueFd root = BH_TRY(
      os::make_file_system("tmpfs", {{"size", "64k"}, {"nr_inodes", "1024"}, {"mode", "0755"}}));
  BH_TRY(os::replace_root(root.get()));
  for (const ClonedBind& bind : binds) {
    BH_TRY(attach_bind(bind));
  }
  for (const std::string& directory : spec.directories) {
    BH_TRY(os::make_directories(directory));
  }
  for (const ClonedShare& share : shares) {
    BH_TRY(make_mount_point(share.share->target, share.is_directory));
  }
  if (!shares.empty()) {
    BH_TRY(os::make_directories(kProcessFiles));
  }
  BH_TRY(make_devices(spec));
  BH_TRY(os::restrict_mount(root.get(), {.read_only = true, .no_exec = true}));
  return shares;
}

Result<> set_limits(const Limits& limits) {
  BH_TRY(os::lower_limit(RLIMIT_NOFILE, limits.open_files));
  BH_TRY(os::lower_limit(RLIMIT_NPROC, limits.processes));
  BH_TRY(os::lower_limit(RLIMIT_FSIZE, limits.file_size_bytes));
  if (limits.address_space_bytes != 0) {
    BH_TRY(os::lower_limit(RLIMIT_AS, limits.address_space_bytes));
  }
  // 1, not 0: a core_pattern that is a pipe ignores 0 and would be handed the guest's memory.
  BH_TRY(os::lower_limit(RLIMIT_CORE, 1));
  BH_TRY(os::lower_limit(RLIMIT_MEMLOCK, 0));
  BH_TRY(os::lower_limit(RLIMIT_MSGQUEUE, 0));
  BH_TRY(os::lower_limit(RLIMIT_RTPRIO, 0));
  return os::lower_limit(RLIMIT_SIGPENDING, 256);
}

/// Everything that the inmate does; returns only on failure.
Result<> become_inmate(const JailSpec& spec, int go, int report) {
  std::byte byte{};
  if (BH_TRY(os::read_some(go, std::span(&byte, 1))) != 1) {
    return fail(ErrorCode::Cancelled, "the helper gave up");
  }
  BH_TRY(os::leave_session());
  BH_TRY(os::leave_keyring());
  BH_TRY(os::set_host_name("bulkhead"));
  BH_TRY(os::become_user(kInnerId, kInnerId));
  BH_TRY(set_limits(spec.limits));
  BH_TRY(os::drop_capabilities(capabilities_over(spec.shares)));
  BH_TRY(os::die_with_parent());
  // Had the caller died before, no signal would come.
  if (os::is_hung_up(report)) {
    return fail(ErrorCode::Cancelled, "the caller is gone");
  }
  BH_TRY(os::forbid_new_privileges());
  const std::vector<sock_filter> filter = seccomp_program(!spec.shares.empty());
  BH_TRY(os::install_seccomp_filter(filter));
  return os::execute(spec.arguments.front(), spec.arguments, spec.environment);
}

/// Gives the inmate its one user and group, and with shares their files' ids. `proc` is the host's
/// /proc, opened before it was left.
Result<> map_ids(int proc, pid_t inmate, const JailSpec& spec) {
  std::string lines = fmt::format("{} {} 1\n", kInnerId, spec.host_id);
  if (!spec.shares.empty()) {
    lines += fmt::format("0 {} {}\n", kFirstFileId, kFileIds);
  }
  for (const std::string_view name : {"uid_map", "gid_map"}) {
    const os::UniqueFd map =
        BH_TRY(os::open_at(proc, fmt::format("{}/{}", inmate, name), O_WRONLY));
    BH_TRY(os::write_all(map.get(), as_bytes(lines)).context(name));
  }
  return {};
}

/// `go`: by which the inmate is told to go on.
Result<> build(int spec_file, int report, os::Pipe& go) {
  const std::string encoded = BH_TRY(os::read_to_end(spec_file, kLargestSpec));
  const JailSpec spec = BH_TRY(decode_spec(encoded));
  const os::UniqueFd proc = BH_TRY(os::open_file("/proc", O_PATH | O_DIRECTORY));
  os::clear_file_mode_mask();
  BH_TRY(os::clear_supplementary_groups());
  const std::vector<ClonedShare> shares = BH_TRY(build_root(spec));
  const pid_t inmate =
      BH_TRY(os::fork_with_flags(CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP));
  if (inmate == 0) {
    go.write_end.reset();
    return become_inmate(spec, go.read_end.get(), report);
  }
  BH_TRY(os::write_all(report, object_bytes(pid_record(inmate))));
  BH_TRY(map_ids(proc.get(), inmate, spec));
  if (!shares.empty()) {
    const os::UniqueFd namespaces =
        BH_TRY(os::open_at(proc.get(), fmt::format("{}/ns", inmate), O_PATH | O_DIRECTORY));
    BH_TRY(attach_process_files(namespaces.get()));
    BH_TRY(attach_shares(shares, namespaces.get()));
  }
  const std::byte byte{};
  return os::write_all(go.write_end.get(), std::span(&byte, 1));
}

Result<> run(os::UniqueFd spec_file, os::UniqueFd report) {
  // They were made inheritable for this program; from here on they are not: the report's end must
  // close when the inmate executes.
  os::UniqueFd copy = BH_TRY(os::duplicate(report.get()));
  report = std::move(copy);
  copy = BH_TRY(os::duplicate(spec_file.get()));
  spec_file = std::move(copy);
  // Open until an error is reported: its closing is what makes the inmate give up, too.
  os::Pipe go = BH_TRY(os::make_pipe());
  auto result = build(spec_file.get(), report.get(), go);
  if (!result) {
    std::ignore = os::write_all(report.get(), object_bytes(error_record(result.error())));
  }
  return result;
}

}  // namespace
}  // namespace bulkhead::jail

int main(int argc, char** argv) {
  using namespace bulkhead;
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto spec = argc == 3 ? parse_decimal<int>(arguments[1]) : std::nullopt;
  const auto report = argc == 3 ? parse_decimal<int>(arguments[2]) : std::nullopt;
  if (!spec || !report) {
    return 2;
  }
  const auto result = jail::run(os::UniqueFd(*spec), os::UniqueFd(*report));
  return result ? 0 : 1;
}
