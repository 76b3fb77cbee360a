#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

/// Which of the platforms that were pulled go out.
struct PlatformSelection {
  /// None: everything, where all that the index names is here, else the platform that the name
  /// runs.
  std::vector<oci::Platform> platforms;
  /// Every platform that is here.
  bool all = false;
};

/// What of an image goes out.
struct OutgoingImage {
  /// Manifests and indexes, each after those that it names; the last is the top.
  std::vector<oci::Descriptor> documents;
  std::vector<oci::Descriptor> blobs;  ///< configs and layers, each once
  /// The top's text where it was made anew: the store does not have it.
  std::optional<std::string> made;
};

/// Decides it. An index of which only a part goes is made anew: the manifests of that part, those
/// of nested indexes too, and what attests them, in the index's order; unless that part is one
/// manifest: then it is that. A layer that is not distributable is in it as far as it is here.
/// Errors: NotFound when a platform is not here; Corrupt when the store is damaged.
Result<OutgoingImage> select_outgoing(const store::Store& store, const store::ImageRecord& record,
                                      const PlatformSelection& selection);

/// The manifest of the one platform that is asked for, or that the record runs.
/// Errors: as above; Invalid when several are asked for; Unsupported for an artifact.
Result<oci::Descriptor> select_one(const store::Store& store, const store::ImageRecord& record,
                                   const PlatformSelection& selection);

/// A manifest or index of the store. Errors: NotFound; Corrupt when it is not what its digest says.
Result<std::string> read_document(const store::Store& store, const oci::Descriptor& descriptor);

}  // namespace bulkhead::images
