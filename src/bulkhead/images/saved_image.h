#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/save.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

/// What of an image goes out.
struct SavedImage {
  oci::Descriptor top;                    ///< a manifest or an index
  std::map<Digest, std::uint64_t> blobs;  ///< all that `top` reaches and the store has, but `made`
  /// The index that `top` names where it was made anew.
  std::optional<std::string> made;
};

/// Decides it. Errors: NotFound when a platform is not here; Corrupt when the store is damaged.
Result<SavedImage> select_saved(const store::Store& store, const store::ImageRecord& record,
                                const SaveOptions& options);

/// The manifest of the one platform that the options ask for, or that the record runs.
/// Errors: as above; Invalid when they ask for several.
Result<oci::Descriptor> select_one(const store::Store& store, const store::ImageRecord& record,
                                   const SaveOptions& options);

}  // namespace bulkhead::images
