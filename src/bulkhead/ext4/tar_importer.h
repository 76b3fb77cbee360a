#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"

namespace bulkhead::ext4 {

class LayerRecorder;

enum class Whiteouts : std::uint8_t {
  Apply,   ///< an image's layer: ".wh.name" removes, ".wh..wh..opq" empties
  Ignore,  ///< a plain root file system: such names are names like any other
};

struct LayerOptions {
  Whiteouts whiteouts = Whiteouts::Apply;
  archive::TarLimits limits;
  /// Of file contents in this layer: ResourceExhausted beyond.
  std::uint64_t content_bytes = std::uint64_t{256} << 30U;
  /// Borrowed; null: nothing is recorded. The formatter keeps what is replaced, then.
  LayerRecorder* recorder = nullptr;
};

struct LayerStats {
  std::uint64_t entries = 0;
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t content_bytes = 0;  ///< apparent sizes of files
  std::uint64_t whiteouts = 0;
  /// Attributes left out: namespaces that ext4 does not store, and trusted.overlay.* and
  /// user.overlay.*, which would steer the mount that the image is part of.
  std::uint64_t dropped_xattrs = 0;
};

/// Applies one layer's tar stream to the image: begin_layer(), every member in order, and the
/// stream read to its end. Layers are applied lowest first, to one formatter. Errors: those of
/// TarReader and of Formatter, naming the entry. The image is not usable then.
Result<LayerStats> apply_layer(Formatter& formatter, archive::Reader& tar_bytes,
                               const LayerOptions& options = {});

}  // namespace bulkhead::ext4
