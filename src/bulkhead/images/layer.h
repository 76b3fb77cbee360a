#pragma once

#include <cstdint>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/root_maker.h"

namespace bulkhead::images {

/// Tar bytes of all layers of one image together; beyond it the image is refused.
inline constexpr std::uint64_t kMostUnpackedBytes = std::uint64_t{128} << 30U;

/// The name of a stack of layers: of the first its diff id, then the hash of "chain diff-id". No
/// layers at all: the hash of nothing.
/// Source: OCI image specification, config.md, "Layer ChainID".
Result<Digest> chain_id(const std::vector<Digest>& diff_ids);

/// Whether a layer fits into what is left of kMostUnpackedBytes. Errors: ResourceExhausted.
Result<> check_budget(std::uint64_t tar_bytes, std::uint64_t left);

/// Applies a layer whose turn has come, or only verifies it where there is no root to be made, and
/// checks everything about it.
/// Errors: Corrupt for anything that does not match or is not a tar; ResourceExhausted beyond
/// `most_tar_bytes`; those of ext4::apply_layer.
Result<LayerPipe::Finished> apply_layer(LayerPipe& pipe, RootMaker* root,
                                        std::uint64_t most_tar_bytes);

}  // namespace bulkhead::images
