#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/process.h"

namespace bulkhead::jail {

/// A file or directory of the host that is seen in the jail, read-only, nosuid and nodev.
struct Bind {
  std::string source;
  std::string target;         ///< absolute; parents are made
  bool is_executable = true;  ///< libraries are mapped executable, data files need not be
};

/// A file or directory of the host that the jailed process may use for others: every user and group
/// in it is seen as itself, and the process has over them what CAP_CHOWN, CAP_DAC_OVERRIDE,
/// CAP_FOWNER and CAP_FSETID give, or of read-only shares alone CAP_DAC_READ_SEARCH. nosuid, nodev
/// and noexec, as nothing in the jail needs it otherwise.
struct Share {
  std::string source;
  std::string target;  ///< absolute; parents are made
  bool is_read_only = true;
  bool is_recursive = true;  ///< with what is mounted below it
};

/// A character device node made in the jail for its user alone.
struct DeviceNode {
  std::string target;
  dev_t device;
};

/// Ceilings of the jailed process. Rlimits are only ever lowered; one that is already lower stays.
struct Limits {
  std::uint64_t open_files = 256;
  std::uint64_t processes = 256;          ///< threads count; the jail's user is nobody else's
  std::uint64_t file_size_bytes = 0;      ///< how far any file may be written
  std::uint64_t address_space_bytes = 0;  ///< 0: not limited
};

/// A process that knows nothing of the host. Besides what is named here it has: a tmpfs root with
/// /dev/null and /dev/urandom, mount, network (no interface), PID (it is PID 1), IPC, UTS and
/// cgroup namespaces, a user namespace of one user without capabilities, no_new_privs, a seccomp
/// filter (jail/seccomp.h), no controlling terminal, no core dumps, a session keyring of its own.
/// With shares its user namespace also has the users that files belong to, and there is a /proc of
/// its own processes alone.
struct JailSpec {
  /// argv[0] is a path in the jail.
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  /// Everything not named is closed. 0, 1 and 2 not named are /dev/null.
  std::vector<os::FdMapping> descriptors;
  std::vector<Bind> binds;
  std::vector<Share> shares;
  std::vector<std::string> directories;  ///< empty ones, unless a share is in them
  std::vector<DeviceNode> devices;
  /// The user and group it is on the host. Never 0.
  uid_t host_id = 0;
  Limits limits;
};

/// Starts a process in a jail, as a child of the calling thread, which it does not outlive (it gets
/// SIGKILL). Returns when it has been executed or when that failed, after a few milliseconds.
/// `helper` is the path of bulkhead-jail.
/// Errors: PermissionDenied when not root; NotFound for a missing helper, bind or program;
/// Unsupported where the kernel lacks a namespace or filter, or the file system of a share cannot
/// be mapped to other users; Invalid for a spec that makes no sense.
Result<os::Process> launch(const std::string& helper, const JailSpec& spec);

}  // namespace bulkhead::jail
