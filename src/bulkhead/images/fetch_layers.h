#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/checked_source.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

struct LayerOptions {
  std::size_t layers_at_once;
  Progress& progress;
};

/// Brings the layers of an image, lowest first, into a session that has locked their chain, and
/// makes their root, if it is not there. A blob that is not there is fetched and checked; a layer
/// whose blob and root record are there is neither read nor inflated. Returns the bytes of all tar
/// streams. Errors: those of fetch().
Result<std::uint64_t> fetch_layers(store::Ingest& ingest, CheckedSource& source,
                                   const LayerOptions& options,
                                   const std::vector<ImageLayer>& layers, const Digest& chain);

}  // namespace bulkhead::images
