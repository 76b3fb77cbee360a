#pragma once

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::cli {

/// The machine that was asked for; the rest has its defaults. Errors: Invalid, naming the option.
Result<runtime::ContainerOptions> machine_options(const MachineOptions& options);

/// Writes a new container to disk, pulling its image first if that is wanted.
Result<runtime::ContainerRecord> create_container(const config::Paths& paths,
                                                  runtime::ContainerStore& store,
                                                  const CreateOptions& options);

}  // namespace bulkhead::cli
