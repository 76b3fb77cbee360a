#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/session.h"
#include "bulkhead/cli/timing_report.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {

struct StartContainerOptions {
  bool has_shim = false;  ///< one that stands by: none is started, unless it is gone
  bool attach = false;    ///< pass streams and signals on, and wait for the end
  bool input = false;
  bool terminal = false;
  TimingReport* timing = nullptr;  ///< borrowed; filled with every phase
};

/// Starts a container's shim and through it the container. Returns its exit status when attached
/// to, else 0. A command that could not be executed is reported on stderr and its status (125, 126,
/// 127) returned. Errors: FailedPrecondition when it runs already.
Result<int> start_container(runtime::ContainerStore& store, const runtime::ContainerRecord& record,
                            const StartContainerOptions& options);

/// The status for a process whose start was refused: 126 or 127 if its command is to blame, else
/// 125. The shim keeps it as the exit status of the process that never was.
int failed_start_status(Session& session, const ProcessId& process);

/// The container's OCI specification.
Result<oci::Spec> load_spec(const runtime::ContainerStore& store, const std::string& id);

/// Waits until the container's shim, if there is one, has ended, and removes the container.
Result<> remove_when_ended(runtime::ContainerStore& store, const std::string& id);

}  // namespace bulkhead::cli
