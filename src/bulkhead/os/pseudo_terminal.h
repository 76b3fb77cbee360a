#pragma once

#include "bulkhead/base/result.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

struct PseudoTerminal {
  UniqueFd controller;  ///< the master side
  UniqueFd terminal;    ///< the slave side
};

/// From an open "ptmx" of the devpts instance that is meant, however it was found.
/// Errors: PermissionDenied when it is not the ptmx of a devpts file system.
Result<PseudoTerminal> open_pseudo_terminal(UniqueFd controller, TerminalSize size);

}  // namespace bulkhead::os
