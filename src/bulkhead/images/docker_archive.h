#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/images/archive_files.h"
#include "bulkhead/images/layout.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

/// The images of a `manifest.json` as `docker save` and skopeo write it. They have no OCI manifest:
/// one is made for each and kept in the session, so that they are images like all others.
/// Source: moby, image/tarexport.
/// Errors: Invalid, NotFound for a file that it names and the archive lacks.
Result<std::vector<NamedImage>> docker_archive_images(std::string_view manifest_json,
                                                      const ArchiveFiles& files,
                                                      store::Ingest& ingest,
                                                      std::string_view base_name);

}  // namespace bulkhead::images
