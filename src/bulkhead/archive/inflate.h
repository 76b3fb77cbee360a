#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {

enum class Compression : std::uint8_t { None, Gzip, Zstd, Bzip2, Xz };

std::string_view to_string(Compression compression);

/// So many bytes of a stream tell its compression.
inline constexpr std::size_t kMagicBytes = 6;

/// By magic number; None for anything unknown.
Compression detect_compression(Bytes beginning);

/// What a compressed stream may cost.
struct InflateLimits {
  /// Of output. The stream ends with ResourceExhausted at the first byte beyond.
  std::uint64_t output_bytes = std::uint64_t{256} << 30U;
  /// Output per input byte, judged once more than 64 MiB have come out. Zeros compress 1030:1 with
  /// gzip and better with the others, so this is off (0) unless the caller knows its data.
  std::uint64_t ratio = 0;
};

/// The decompressed bytes of `source`, which is borrowed.
///
/// Concatenated members, frames and streams are one stream. What follows the last gzip member or
/// bzip2 stream without being another is ignored, as gzip and bzip2 do; zstd and xz call it an
/// error. The source is read to its end in every case, so that a HashingReader below has seen all
/// of it. Memory: 256 KiB for gzip, up to 128 MiB (window) for zstd, 128 MiB for xz, 4 MiB for
/// bzip2.
///
/// Errors of next(): Corrupt for malformed or truncated data, ResourceExhausted beyond `limits` or
/// for a window that is too large, and what the source returns.
Result<std::unique_ptr<Reader>> make_inflater(Compression compression, Reader& source,
                                              const InflateLimits& limits = {});

struct DetectedInflater {
  Compression compression;
  std::unique_ptr<Reader> reader;
};

/// The same, by the magic number at the beginning of `source`. An empty source is
/// Compression::None.
Result<DetectedInflater> detect_inflater(Reader& source, const InflateLimits& limits = {});

}  // namespace bulkhead::archive
