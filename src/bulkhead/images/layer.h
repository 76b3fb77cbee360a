#pragma once

#include <cstdint>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/images/layer_pipe.h"

namespace bulkhead::images {

/// Tar bytes of all layers of one image together; beyond it the image is refused.
inline constexpr std::uint64_t kMostUnpackedBytes = std::uint64_t{128} << 30U;

/// The name of a stack of layers: of the first its diff id, then the hash of "chain diff-id". No
/// layers at all: the hash of nothing.
/// Source: OCI image specification, config.md, "Layer ChainID".
Result<Digest> chain_id(const std::vector<Digest>& diff_ids);

/// Applies a layer whose turn has come, or only verifies it where there is no formatter, and checks
/// everything about it.
/// Errors: Corrupt for anything that does not match or is not a tar; ResourceExhausted beyond
/// `most_tar_bytes`; those of ext4::apply_layer.
Result<LayerPipe::Finished> apply_layer(LayerPipe& pipe, ext4::Formatter* formatter,
                                        std::uint64_t most_tar_bytes);

}  // namespace bulkhead::images
