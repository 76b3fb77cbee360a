#pragma once

#include <cstddef>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

struct FetchOptions {
  oci::Platform platform = oci::Platform::host();
  /// Platforms of the same index that are kept beside it, not unpacked, so that they can be saved
  /// and pushed.
  std::vector<oci::Platform> more_platforms;
  /// Every platform of the index is kept.
  bool all_platforms = false;
  /// Layers that are fetched at the same time; each takes a connection, three threads, some 400
  /// KiB, and what it has inflated ahead.
  std::size_t layers_at_once = 3;
  Progress* progress = nullptr;  ///< borrowed; null: nobody looks
};

/// Brings an image from a source into the store, unpacked and named `reference`: the manifest for
/// the platform out of an index, its config, and its layers in one pass each, and the attestations
/// that the index holds about it. What the store has is not fetched again. Nothing is believed:
/// every digest, diff id and size is checked. An attestation that cannot be had is done without.
/// A layer that is not distributable comes from the source like any other, never from elsewhere.
///
/// An artifact (oci::is_artifact) is kept as it is, manifest and blobs, for saving and pushing:
/// there is no root of it.
///
/// Errors: NotFound (also when there is nothing for the platform; the message names what is there);
/// Unsupported for layers of unknown kinds and for another architecture; Corrupt for whatever
/// does not match; Invalid, ResourceExhausted; NoSpace; those of the source. The store is then as
/// it was.
Result<store::ImageRecord> fetch(store::Store& store, oci::BlobSource& source,
                                 const oci::Reference& reference, const FetchOptions& options = {});

/// The same within a session that may hold some of the content already.
Result<store::ImageRecord> fetch_into(store::Ingest& ingest, oci::BlobSource& source,
                                      const oci::Reference& reference,
                                      const FetchOptions& options = {});

}  // namespace bulkhead::images
