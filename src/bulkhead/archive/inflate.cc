#include "bulkhead/archive/inflate.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/archive/inflate_codecs.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {
namespace {

// Large enough that a piece is worth a call, small enough to stay in the second-level cache.
constexpr std::size_t kOutputBytes = std::size_t{128} << 10U;
constexpr std::uint64_t kRatioAfter = std::uint64_t{64} << 20U;

bool begins_with(Bytes data, std::string_view magic) { return as_text(data).starts_with(magic); }

/// A stream whose first bytes were looked at already.
class RewoundReader final : public Reader {
 public:
  explicit RewoundReader(Reader& source) : source_(source) {}

  /// Reads until `kMagicBytes` bytes are there or the stream ends.
  Result<Bytes> peek() {
    first_ = BH_TRY(source_.next());
    if (first_.empty() || first_.size() >= kMagicBytes) {
      return first_;
    }
    while (true) {
      copy_.insert(copy_.end(), first_.begin(), first_.end());
      if (first_.empty() || copy_.size() >= kMagicBytes) {
        first_ = copy_;
        return first_;
      }
      first_ = BH_TRY(source_.next());
    }
  }

  Result<Bytes> next() override {
    if (!first_.empty()) {
      return std::exchange(first_, {});
    }
    return source_.next();
  }

 private:
  Reader& source_;
  Bytes first_;
  std::vector<std::byte> copy_;
};

/// Counts what a stream costs.
class Meter {
 public:
  explicit Meter(const InflateLimits& limits) : limits_(limits) {}

  void consumed(std::size_t bytes) { input_ += bytes; }

  Result<> produced(std::size_t bytes) {
    output_ += bytes;
    if (output_ > limits_.output_bytes) {
      return fail(ErrorCode::ResourceExhausted, "inflate: more than {} bytes",
                  limits_.output_bytes);
    }
    if (limits_.ratio != 0 && output_ > kRatioAfter && output_ / limits_.ratio > input_) {
      return fail(ErrorCode::ResourceExhausted,
                  "inflate: {} bytes came out of {}, more than {} times as many", output_, input_,
                  limits_.ratio);
    }
    return {};
  }

 private:
  InflateLimits limits_;
  std::uint64_t input_ = 0;
  std::uint64_t output_ = 0;
};

class PlainReader final : public Reader {
 public:
  PlainReader(Reader& source, std::unique_ptr<Reader> owned, const InflateLimits& limits)
      : source_(source), owned_(std::move(owned)), meter_(limits) {}

  Result<Bytes> next() override {
    const Bytes piece = BH_TRY(source_.next());
    meter_.consumed(piece.size());
    BH_TRY(meter_.produced(piece.size()));
    return piece;
  }

 private:
  Reader& source_;
  std::unique_ptr<Reader> owned_;
  Meter meter_;
};

class InflatingReader final : public Reader {
 public:
  InflatingReader(Reader& source, std::unique_ptr<Reader> owned, std::unique_ptr<Codec> codec,
                  Compression compression, const InflateLimits& limits)
      : source_(source),
        owned_(std::move(owned)),
        codec_(std::move(codec)),
        compression_(compression),
        meter_(limits),
        output_(kOutputBytes) {}

  Result<Bytes> next() override {
    while (!finished_) {
      if (at_boundary_) {
        BH_TRY(cross_boundary());
        continue;
      }
      const CodecStep step =
          BH_TRY(codec_->run(input_, output_, ended_ ? InputEnd::Reached : InputEnd::MoreMayCome));
      input_ = input_.subspan(step.consumed);
      meter_.consumed(step.consumed);
      at_boundary_ = step.at_boundary;
      if (step.produced > 0) {
        BH_TRY(meter_.produced(step.produced));
        return Bytes(output_).first(step.produced);
      }
      if (step.consumed == 0 && !at_boundary_) {
        BH_TRY(need_input());
      }
    }
    return Bytes{};
  }

 private:
  Result<> need_input() {
    if (ended_ || !input_.empty()) {
      // At the end, or a codec that will not take what there is.
      return fail(ErrorCode::Corrupt, "{}: {}", to_string(compression_),
                  ended_ ? "the stream is truncated" : "invalid data");
    }
    return refill();
  }

  Result<> refill() {
    input_ = BH_TRY(source_.next());
    if (input_.empty()) {
      // Codecs that decide only at the end of input get one more call.
      ended_ = true;
    }
    return {};
  }

  /// After a complete member: the end, another member, or trailing garbage.
  Result<> cross_boundary() {
    const Bytes magic = codec_->member_magic();
    if (input_.empty() && !ended_) {
      return refill();
    }
    if (input_.empty()) {
      finished_ = true;
      return {};
    }
    if (!magic.empty()) {
      if (input_.size() < magic.size() && !ended_) {
        BH_TRY(join_input(magic.size()));
      }
      if (!begins_with(input_, as_text(magic))) {
        std::ignore = BH_TRY(drain(source_));
        finished_ = true;
        return {};
      }
      BH_TRY(codec_->restart());
    }
    at_boundary_ = false;
    return {};
  }

  /// Puts pieces together until there are `wanted` bytes or the source ends.
  Result<> join_input(std::size_t wanted) {
    std::vector<std::byte> joined(input_.begin(), input_.end());
    while (joined.size() < wanted) {
      const Bytes piece = BH_TRY(source_.next());
      if (piece.empty()) {
        ended_ = true;
        break;
      }
      joined.insert(joined.end(), piece.begin(), piece.end());
    }
    joined_ = std::move(joined);
    input_ = joined_;
    return {};
  }

  Reader& source_;
  std::unique_ptr<Reader> owned_;
  std::unique_ptr<Codec> codec_;
  Compression compression_;
  Meter meter_;
  std::vector<std::byte> output_;
  std::vector<std::byte> joined_;
  Bytes input_;
  bool ended_ = false;
  bool at_boundary_ = false;
  bool finished_ = false;
};

Result<std::unique_ptr<Reader>> build(Compression compression, Reader& source,
                                      std::unique_ptr<Reader> owned, const InflateLimits& limits) {
  if (compression == Compression::None) {
    return std::make_unique<PlainReader>(source, std::move(owned), limits);
  }
  auto codec = BH_TRY(make_codec(compression));
  return std::make_unique<InflatingReader>(source, std::move(owned), std::move(codec), compression,
                                           limits);
}

}  // namespace

std::string_view to_string(Compression compression) {
  switch (compression) {
    case Compression::None:
      return "none";
    case Compression::Gzip:
      return "gzip";
    case Compression::Zstd:
      return "zstd";
    case Compression::Bzip2:
      return "bzip2";
    case Compression::Xz:
      return "xz";
  }
  return "unknown";
}

Compression detect_compression(Bytes beginning) {
  using namespace std::string_view_literals;
  if (begins_with(beginning, "\x1f\x8b"sv)) {
    return Compression::Gzip;
  }
  // A zstd frame, or a skippable frame (0x184D2A50 to 5F) before one.
  if (begins_with(beginning, "\x28\xb5\x2f\xfd"sv) ||
      (beginning.size() >= 4 && (std::to_integer<unsigned>(beginning[0]) & 0xf0U) == 0x50U &&
       begins_with(beginning.subspan(1), "\x2a\x4d\x18"sv))) {
    return Compression::Zstd;
  }
  if (begins_with(beginning, "BZh"sv) && beginning.size() >= 4 && beginning[3] >= std::byte{'1'} &&
      beginning[3] <= std::byte{'9'}) {
    return Compression::Bzip2;
  }
  if (begins_with(beginning,
                  "\xfd"
                  "7zXZ\0"sv)) {
    return Compression::Xz;
  }
  return Compression::None;
}

Result<std::unique_ptr<Reader>> make_inflater(Compression compression, Reader& source,
                                              const InflateLimits& limits) {
  return build(compression, source, nullptr, limits);
}

Result<DetectedInflater> detect_inflater(Reader& source, const InflateLimits& limits) {
  auto rewound = std::make_unique<RewoundReader>(source);
  const Compression compression = detect_compression(BH_TRY(rewound->peek()));
  Reader& beginning = *rewound;
  auto reader = BH_TRY(build(compression, beginning, std::move(rewound), limits));
  return DetectedInflater{compression, std::move(reader)};
}

}  // namespace bulkhead::archive
