#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

// One class for each decompression library, all of one shape; inflate.cc drives them.

namespace bulkhead::archive {

/// What one call of a codec did.
struct CodecStep {
  std::size_t consumed = 0;
  std::size_t produced = 0;
  bool at_boundary = false;  ///< a member, frame or stream is complete: the input may end here
};

enum class InputEnd : std::uint8_t { MoreMayCome, Reached };

class Codec {
 public:
  Codec() = default;
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;
  virtual ~Codec() = default;

  /// Decodes from `input` into `output`; either may be used in part. No progress means that more
  /// input is needed. Errors: Corrupt, ResourceExhausted.
  virtual Result<CodecStep> run(Bytes input, MutableBytes output, InputEnd end) = 0;

  /// How another member has to begin for what follows a boundary not to be trailing garbage; empty
  /// when the codec itself judges what follows.
  [[nodiscard]] virtual Bytes member_magic() const { return {}; }

  /// Prepares for another member.
  virtual Result<> restart() { return {}; }
};

/// `compression` is not None.
Result<std::unique_ptr<Codec>> make_codec(Compression compression);

}  // namespace bulkhead::archive
