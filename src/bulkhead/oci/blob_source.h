#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"

namespace bulkhead::oci {

/// The bytes of one blob, in order, as they come. Nothing about them is verified: who reads them
/// hashes them and stops at the size that was promised.
class BlobReader {
 public:
  BlobReader() = default;
  BlobReader(const BlobReader&) = delete;
  BlobReader& operator=(const BlobReader&) = delete;
  virtual ~BlobReader() = default;

  /// Waits for at least one byte; 0 is the end.
  virtual Result<std::size_t> read(MutableBytes buffer) = 0;
};

/// Where images come from: a registry, an archive, a layout directory. The other side is
/// images::fetch(), which asks it for what the store does not have.
///
/// open() may be called from several threads at once, so that one answer that is slow to come does
/// not hold the others up; the readers that it gave may each be read on a thread of its own.
class BlobSource {
 public:
  /// A manifest or an index: at most kLargestDocument bytes. descriptor.digest is the digest of the
  /// content, descriptor.media_type what the peer calls it (may be empty).
  struct Resolved {
    Descriptor descriptor;
    std::string content;
  };

  BlobSource() = default;
  BlobSource(const BlobSource&) = delete;
  BlobSource& operator=(const BlobSource&) = delete;
  virtual ~BlobSource() = default;

  /// Errors: NotFound; what the transport fails with.
  virtual Result<Resolved> resolve(const Reference& reference) = 0;

  /// Opens anything that a descriptor of this source's documents names: layers and configs, and
  /// manifests inside an index (document_kind() of the media type tells; registries keep those
  /// elsewhere). Errors: NotFound; what the transport fails with.
  virtual Result<std::unique_ptr<BlobReader>> open(const Descriptor& descriptor) = 0;
};

}  // namespace bulkhead::oci
