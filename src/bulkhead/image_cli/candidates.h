#pragma once

#include <vector>

#include "bulkhead/program/complete.h"

namespace bulkhead::image_cli {

/// What fits a placeholder of this program's help: images, their registries and repositories,
/// platforms. Makes nothing, asks no registry, and leaves out what it cannot read.
std::vector<program::Candidate> candidates(const program::Wanted& wanted);

}  // namespace bulkhead::image_cli
