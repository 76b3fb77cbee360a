#pragma once

#include <string>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/os/unique_fd.h"

// The last way of a child of PID 1 before it becomes a program of the image. It reports over a
// socket that the program does not get: a message for a terminal that was opened, one for a
// failure, and the end of file when the program runs.

namespace bulkhead::guest {

/// First byte of a message.
inline constexpr char kTerminalReport = 'T';  ///< with the controller's descriptor
inline constexpr char kFailureReport = 'F';   ///< then StartFailure as one byte, then text

/// What the child gets from its parent; all of it is a copy, as after fork.
struct ChildPlan {
  /// Of the first process only; for others the container exists and is entered.
  const agent::v1::StartRequest* start = nullptr;
  const agent::v1::Process* process = nullptr;
  std::string hostname;
  int container_pidfd = -1;  ///< of the first process, for others
  int report = -1;
  /// Standard descriptors; unused with a terminal.
  int standard[3] = {-1, -1, -1};
};

/// Never returns.
[[noreturn]] void run_child(const ChildPlan& plan);

inline constexpr char kStagedReport = 'S';  ///< the staged child waits

/// What PID 1 sends to a child that waits: this byte, with descriptors of a serialised StartRequest
/// and, without a terminal, of the three standard ones; then, when the disks are mounted, the other
/// one, with the descriptor of a detached mount of the root. Without them the child ends.
inline constexpr char kPlanMessage = 'P';
inline constexpr char kRootMessage = 'R';

/// The first process of a container that is not known yet: makes what it can, reports, and waits.
/// Never returns.
[[noreturn]] void run_staged_child(const agent::v1::PrepareRequest& request, int report);

}  // namespace bulkhead::guest
