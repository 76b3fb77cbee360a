#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

/// Loads every image of an OCI layout (a directory, or a tar of it in any compression) or of a
/// docker-archive (`docker save`). `path` "-" is the standard input. Names come from the archive;
/// an image that has only a tag there is named after the file, "busybox.tar" with tag "1" is
/// "busybox:1".
///
/// Names inside an archive never touch the file system: its files are kept by digest. Links in it
/// are not followed, except that a docker-archive may name one layer twice by a link.
///
/// Errors: Invalid for what is no image archive; Corrupt; Unsupported; those of fetch(). Images
/// that were loaded before the failing one stay.
Result<std::vector<store::ImageRecord>> load(store::Store& store, const std::string& path,
                                             const FetchOptions& options = {});

/// Makes an image of one layer from a plain root file system tar in any compression. `path` "-" is
/// the standard input. Errors: Invalid for a reference with a digest; Corrupt for what is no tar;
/// those of ext4::apply_layer.
Result<store::ImageRecord> import_tar(store::Store& store, const std::string& path,
                                      const oci::Reference& reference,
                                      const FetchOptions& options = {});

}  // namespace bulkhead::images
