#pragma once

#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {

/// A first process that does what the container's will do, only before it, in a root of its own and
/// with a program that ends at once. An emulator translates code when it is executed first: what
/// has been rehearsed on a processor that had nothing better to do is not translated any more when
/// it is due.
class Rehearsal {
 public:
  /// Everything up to the point where the root is needed.
  static Result<Rehearsal> prepare(const agent::v1::PrepareRequest& request);

  /// Goes on, and ends by itself, or with this object.
  Result<> begin();

  /// What a plan names. Errors: Invalid when it names nothing.
  static Result<std::string> program_of(const agent::v1::StartRequest& plan);

  /// Writes `program`, and what else a process needs to be started, below `root`.
  static Result<> fill_root(const std::string& root, const std::string& program);

 private:
  Rehearsal(StagedChild child, os::UniqueFd report, os::UniqueFd root)
      : child_(std::move(child)), report_(std::move(report)), root_(std::move(root)) {}

  StagedChild child_;
  os::UniqueFd report_;
  os::UniqueFd root_;  ///< a detached mount
};

}  // namespace bulkhead::guest
