#pragma once

#include <cstdint>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

/// Tar bytes of all layers of one image together; beyond it the image is refused.
inline constexpr std::uint64_t kMostUnpackedBytes = std::uint64_t{128} << 30U;

/// The name of a stack of layers: of the first its diff id, then the hash of "chain diff-id". No
/// layers at all: the hash of nothing.
/// Source: OCI image specification, config.md, "Layer ChainID".
Result<Digest> chain_id(const std::vector<Digest>& diff_ids);

/// What happens to one layer as it streams through.
struct LayerWork {
  const oci::Descriptor& descriptor;
  const Digest& diff_id;
  /// Where it is applied; null: only verified.
  ext4::Formatter* formatter = nullptr;
  /// Where the blob is kept; null: it is there already.
  store::Ingest* keep_in = nullptr;
  std::uint64_t most_tar_bytes = kMostUnpackedBytes;
  Progress* progress = nullptr;
};

/// Reads a layer once: checks its size and digest, keeps the blob, inflates it by what its bytes
/// are (not by what the media type claims), checks the tar stream against the diff id and applies
/// it. Returns the tar stream's bytes.
/// Errors: Corrupt for anything that does not match or is not a tar; those of ext4::apply_layer.
Result<std::uint64_t> stream_layer(archive::Reader& source, const LayerWork& work);

}  // namespace bulkhead::images
