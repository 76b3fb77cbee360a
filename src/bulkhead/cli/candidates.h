#pragma once

#include <vector>

#include "bulkhead/config/paths.h"
#include "bulkhead/program/complete.h"

namespace bulkhead::cli {

/// What fits a placeholder of this program's help: containers, images, networks, templates,
/// signals. Asks no daemon and no machine, makes nothing, and leaves out what it cannot read.
std::vector<program::Candidate> candidates(const config::Paths& paths,
                                           const program::Wanted& wanted);

}  // namespace bulkhead::cli
