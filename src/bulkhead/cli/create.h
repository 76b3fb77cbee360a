#pragma once

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {

/// Writes a new container to disk, pulling its image first if that is wanted.
Result<runtime::ContainerRecord> create_container(const config::Paths& paths,
                                                  runtime::ContainerStore& store,
                                                  const CreateOptions& options);

}  // namespace bulkhead::cli
