#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

struct PushOptions {
  PlatformSelection which;
  /// Blobs that go at the same time.
  unsigned at_once = 3;
  std::uint64_t chunk_bytes = 0;  ///< registry::Client::UploadOptions
  Progress* progress = nullptr;   ///< borrowed; null: nobody looks
};

/// Sends an image, by reference or id, to the client's repository under the client's tag or digest.
/// What goes, select_outgoing() decides, as for save(); blobs go as they came, so digests stay.
/// What is there already is not sent, what another repository of the registry has is mounted.
/// Layers that are not distributable stay here, where their manifest names URLs for them.
/// Returns what the name now stands for.
///
/// Errors: NotFound, also for a platform that is not here; Corrupt when a blob of the store is
/// damaged; Invalid when the destination's digest is another; those of the client.
Result<oci::Descriptor> push(store::Store& store, const std::string& name, registry::Client& client,
                             const PushOptions& options = {});

}  // namespace bulkhead::images
