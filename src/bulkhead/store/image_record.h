#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bulkhead/base/digest.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/os/file.h"

namespace bulkhead::store {

/// What a reference stands for.
struct ImageRecord {
  std::string reference;        ///< complete: "docker.io/library/alpine:latest"
  oci::Descriptor target;       ///< what the reference names: an index or the manifest itself
  Digest manifest;              ///< of the platform that was chosen
  Digest config;                ///< the image's id; an artifact's is that of its manifest
  std::optional<Digest> chain;  ///< names the unpacked root; none: it is an artifact
  oci::Platform platform;
  std::uint64_t size_bytes = 0;  ///< of the layers' tar streams; of an artifact's blobs
  std::string created;           ///< RFC 3339, or empty
  std::string artifact_type;     ///< empty: it is an image
};

/// An image that is ready to run. While it lives, nothing of it is collected: keep it until the
/// container's record, which then protects it, is written.
struct Image {
  ImageRecord record;
  oci::ImageConfig config;
  std::string root_path;
  os::FileLock use;
};

}  // namespace bulkhead::store
