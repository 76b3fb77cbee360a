#pragma once

#include <cstdint>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::cli {

/// The machine that was asked for; the rest has its defaults. Errors: Invalid, naming the option.
Result<runtime::ContainerOptions> machine_options(const MachineOptions& options);

struct NewContainer {
  runtime::ContainerRecord record;
  bool has_standby = false;  ///< a shim of its id waits for it, with a machine
};

/// Whether it is started at once, and may have a machine that stands by.
enum class FirstStart : std::uint8_t { Later, Now };

/// Writes a new container to disk, pulling its image first if that is wanted.
Result<NewContainer> create_container(const config::Paths& paths, runtime::ContainerStore& store,
                                      const CreateOptions& options, FirstStart first_start);

}  // namespace bulkhead::cli
