#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

enum class SaveFormat : std::uint8_t {
  OciArchive,     ///< a tar of an OCI image layout
  OciDirectory,   ///< the layout itself
  DockerArchive,  ///< as `docker save` writes it: one platform, no index
};

struct SaveOptions {
  SaveFormat format = SaveFormat::OciArchive;
  PlatformSelection which;
};

/// Writes images as an archive ("-": standard output) or a layout directory (new or empty). What
/// goes, select_outgoing() decides; blobs go out as they came in, so digests stay.
///
/// In a layout an image carries its whole name as "io.containerd.image.name", and as
/// "org.opencontainers.image.ref.name" its tag, or its whole name where two images have the same
/// tag.
///
/// Errors: NotFound, also for a platform that is not here; Corrupt when a blob of the store is
/// damaged; AlreadyExists for a directory that is not empty; NoSpace, Io. What was written of a
/// file or directory is then removed.
Result<> save(store::Store& store, const std::vector<std::string>& names, const std::string& path,
              const SaveOptions& options = {});

}  // namespace bulkhead::images
