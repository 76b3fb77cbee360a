#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

struct PushOptions {
  /// Which of the platforms that were pulled. None: everything, where all that the index names is
  /// here, else the platform that the name runs.
  std::vector<oci::Platform> platforms;
  /// Every platform that is here.
  bool all_platforms = false;
  /// Blobs that go at the same time.
  unsigned at_once = 3;
  std::uint64_t chunk_bytes = 0;  ///< registry::Client::UploadOptions
  Progress* progress = nullptr;   ///< borrowed; null: nobody looks
};

/// Sends an image, by reference or id, to the client's repository under the client's tag or digest.
/// Blobs go as they came, so digests stay; an index of which only a part goes is made anew with
/// that part, unless that part is one manifest: then it is that. What is there already is not sent,
/// what another repository of the registry has is mounted. Returns what the name now stands for.
///
/// Errors: NotFound, also for a platform that is not here; Corrupt when a blob of the store is
/// damaged; Invalid when the destination's digest is another; those of the client.
Result<oci::Descriptor> push(store::Store& store, const std::string& name, registry::Client& client,
                             const PushOptions& options = {});

}  // namespace bulkhead::images
