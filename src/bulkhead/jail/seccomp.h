#pragma once

#include <linux/filter.h>

#include <vector>

namespace bulkhead::jail {

/// The system calls that nothing in a jail ever needs fail with EPERM: making and entering
/// namespaces, mounts, tracing and reading other processes, kernel modules, keys, BPF, performance
/// events, io_uring, userfaultfd, execution by descriptor, changing the clock or the host; sockets
/// of every family but AF_UNIX (AF_VSOCK and AF_ALG know no network namespace). clone3 fails with
/// ENOSYS, since its flags cannot be examined: the C library falls back to clone. Making nodes too
/// fails; with `makes_nodes` only that of device nodes. Calls of another architecture or ABI kill
/// the process. All else is allowed, and left to the other layers. QEMU adds its own filter
/// (`-sandbox`), which also denies it processes and exec.
std::vector<sock_filter> seccomp_program(bool makes_nodes = false);

}  // namespace bulkhead::jail
