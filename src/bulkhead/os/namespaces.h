#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

// Namespaces, and processes started inside them.

namespace bulkhead::os {

struct CloneOptions {
  std::uint64_t flags = 0;    ///< CLONE_NEW*
  std::optional<int> cgroup;  ///< a directory of a version 2 hierarchy to be born in
};

struct CloneResult {
  pid_t pid;       ///< 0 in the child
  UniqueFd pidfd;  ///< in the parent
};

/// A copy of this process, as fork(2) makes it; the caller has one thread only. The child ends by
/// execute() or exit_now(): it must never return into the parent's loop.
/// Source: clone3(2).
Result<CloneResult> clone_process(const CloneOptions& options);

/// Joins namespaces: `fd` is one of them, or a pidfd with CLONE_NEW* flags of those to join.
/// Source: setns(2).
Result<> join_namespaces(int fd, int flags);

Result<> unshare_namespaces(int flags);

/// Ends the process at once: no destructors, no exit handlers.
[[noreturn]] void exit_now(int code);

/// Every signal back to its default action and unblocked, as a new program expects.
Result<> reset_signals();

enum class DescriptorUse : std::uint8_t { Inherited, ClosedOnExec };

/// `source`, which is another number, becomes descriptor `target`.
Result<> place_descriptor(int source, int target, DescriptorUse use = DescriptorUse::Inherited);

/// Opens /dev/null on whichever of the descriptors 0 to `last` are closed, so that no descriptor
/// of ours is taken for one of the standard ones.
Result<> fill_descriptors(int last);

/// Writes to a broken pipe fail instead of ending this process.
void ignore_broken_pipes();

/// A pipe that holds 1 MiB, where that is allowed.
void enlarge_pipe(int fd);

/// Closes every descriptor from `first` on.
Result<> close_from(int first);

Result<> new_session();

/// The terminal at `fd` becomes the controlling terminal of this session.
Result<> take_terminal(int fd);

/// A child that ended, whoever started it. Nothing when there is none.
struct ReapedChild {
  pid_t pid;
  ExitStatus status;
};

Result<std::optional<ReapedChild>> reap_any_child();

/// By pidfd; a process that has ended already is fine.
Result<> signal_process(int pidfd, int signal);

}  // namespace bulkhead::os
