#pragma once

#include <memory>
#include <string>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

/// What a source serves, checked against the descriptors that name it and kept in a session. What
/// the session or the store has is not asked for again. Borrows both. Only open() may be called
/// from several threads at once.
class CheckedSource {
 public:
  CheckedSource(store::Ingest& ingest, oci::BlobSource& source)
      : ingest_(ingest), source_(source) {}

  /// What the reference names. Errors: Corrupt when it is not what the source calls it, or not what
  /// the reference's digest asks for.
  Result<oci::BlobSource::Resolved> resolve(const oci::Reference& reference);

  /// A manifest, an index or a config. Errors: Corrupt; ResourceExhausted when it is too large.
  Result<std::string> document(const oci::Descriptor& descriptor);

  /// Any blob, whatever its size. `progress`, if not null, is told. Errors: Corrupt.
  Result<> blob(const oci::Descriptor& descriptor, Progress* progress = nullptr);

  /// The bytes of a blob, not checked. A layer that is not distributable comes from the source, or
  /// not at all. Errors: NotFound; those of the source.
  Result<std::unique_ptr<archive::Reader>> open(const oci::Descriptor& descriptor);

 private:
  Result<> check(const oci::Descriptor& descriptor, const std::string& content);

  store::Ingest& ingest_;
  oci::BlobSource& source_;
};

}  // namespace bulkhead::images
