#include "bulkhead/archive/inflate_codecs.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {
namespace {

// Beyond these the decoder refuses instead of allocating: zstd's own limit for its command line,
// and twice what xz -9 asks for.
constexpr int kZstdWindowLog = 27;
constexpr std::uint64_t kXzMemoryBytes = std::uint64_t{128} << 20U;

// The libraries count in 32 bits.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30U;

// They take pointers to non-const input that they do not write to.
unsigned char* input_pointer(Bytes input) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(input.data()));
}

unsigned char* output_pointer(MutableBytes output) {
  return reinterpret_cast<unsigned char*>(output.data());
}

std::uint32_t bounded(std::size_t size) {
  return static_cast<std::uint32_t>(std::min(size, kMostAtOnce));
}

/// Skips a gzip header, byte by byte as it comes.
// ISA-L 2.30: its own parser reports a wrong checksum for a header with a CRC (FHCRC) that comes in
// two pieces.
class GzipHeader {
 public:
  /// Takes the header's bytes off `input`; true when it is complete. Errors: Corrupt.
  Result<bool> skip(Bytes& input) {
    while (!input.empty() && field_ != Field::Done) {
      const auto byte = std::to_integer<std::uint8_t>(input.front());
      input = input.subspan(1);
      if (!take(byte)) {
        return fail(ErrorCode::Corrupt, "gzip: invalid header");
      }
    }
    return field_ == Field::Done;
  }

 private:
  enum class Field : std::uint8_t { Fixed, ExtraLength, Extra, Name, Comment, Checksum, Done };

  bool take(std::uint8_t byte) {
    switch (field_) {
      case Field::Fixed:
        return take_fixed(byte);
      case Field::ExtraLength:
        extra_left_ |= static_cast<std::uint32_t>(byte) << (8 * at_);
        if (++at_ == 2) {
          enter(extra_left_ == 0 ? Field::Name : Field::Extra);
        }
        break;
      case Field::Extra:
        if (--extra_left_ == 0) {
          enter(Field::Name);
        }
        break;
      case Field::Name:
      case Field::Comment:
        if (byte == 0) {
          enter(field_ == Field::Name ? Field::Comment : Field::Checksum);
        }
        break;
      case Field::Checksum:
        if (++at_ == 2) {
          enter(Field::Done);
        }
        break;
      case Field::Done:
        break;
    }
    return true;
  }

  bool take_fixed(std::uint8_t byte) {
    static constexpr std::array<std::uint8_t, 3> kBeginning{0x1f, 0x8b, 8};  // 8: deflate
    if ((at_ < 3 && byte != kBeginning[at_]) || (at_ == 3 && (byte & 0xe0U) != 0)) {
      return false;
    }
    if (at_ == 3) {
      flags_ = byte;
    }
    if (++at_ == 10) {
      enter(Field::ExtraLength);
    }
    return true;
  }

  /// Goes to `field`, or to the next that the flags say is there.
  void enter(Field field) {
    at_ = 0;
    field_ = field;
    if (field_ == Field::ExtraLength && (flags_ & 4U) == 0) {
      field_ = Field::Name;
    }
    if (field_ == Field::Name && (flags_ & 8U) == 0) {
      field_ = Field::Comment;
    }
    if (field_ == Field::Comment && (flags_ & 16U) == 0) {
      field_ = Field::Checksum;
    }
    if (field_ == Field::Checksum && (flags_ & 2U) == 0) {
      field_ = Field::Done;
    }
  }

  Field field_ = Field::Fixed;
  std::uint8_t flags_ = 0;
  std::uint8_t at_ = 0;
  std::uint32_t extra_left_ = 0;
};

class GzipCodec final : public Codec {
 public:
  GzipCodec() {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP_NO_HDR_VER;
  }

  Result<CodecStep> run(Bytes input, MutableBytes output, InputEnd /*end*/) override {
    Bytes body = input;
    if (!BH_TRY(header_.skip(body))) {
      return CodecStep{.consumed = input.size()};
    }
    state_.next_in = input_pointer(body);
    state_.avail_in = bounded(body.size());
    state_.next_out = output_pointer(output);
    state_.avail_out = bounded(output.size());
    const std::uint32_t offered = state_.avail_in;
    const std::uint32_t room = state_.avail_out;
    const int result = isal_inflate(&state_);
    if (result == ISAL_INCORRECT_CHECKSUM) {
      return fail(ErrorCode::Corrupt, "gzip: wrong checksum");
    }
    if (result < 0 || result == ISAL_NEED_DICT) {
      return fail(ErrorCode::Corrupt, "gzip: invalid deflate data");
    }
    return CodecStep{.consumed = input.size() - body.size() + (offered - state_.avail_in),
                     .produced = room - state_.avail_out,
                     .at_boundary = state_.block_state == ISAL_BLOCK_FINISH};
  }

  [[nodiscard]] Bytes member_magic() const override {
    static constexpr std::array kMagic{std::byte{0x1f}, std::byte{0x8b}};
    return kMagic;
  }

  Result<> restart() override {
    header_ = {};
    isal_inflate_reset(&state_);
    state_.crc_flag = ISAL_GZIP_NO_HDR_VER;
    return {};
  }

 private:
  GzipHeader header_;
  inflate_state state_{};
};

struct ZstdDeleter {
  void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
};

class ZstdCodec final : public Codec {
 public:
  static Result<std::unique_ptr<Codec>> create() {
    std::unique_ptr<ZSTD_DStream, ZstdDeleter> stream(ZSTD_createDStream());
    if (!stream || ZSTD_isError(ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax,
                                                       kZstdWindowLog)) != 0U) {
      return fail(ErrorCode::Internal, "zstd: cannot make a decoder");
    }
    return std::unique_ptr<Codec>(new ZstdCodec(std::move(stream)));
  }

  Result<CodecStep> run(Bytes input, MutableBytes output, InputEnd /*end*/) override {
    if (boundary_ && input.empty()) {
      return CodecStep{.at_boundary = true};
    }
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    const std::size_t result = ZSTD_decompressStream(stream_.get(), &out, &in);
    if (ZSTD_isError(result) != 0U) {
      const bool window = ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge;
      return fail(window ? ErrorCode::ResourceExhausted : ErrorCode::Corrupt, "zstd: {}",
                  ZSTD_getErrorName(result));
    }
    boundary_ = result == 0;
    return CodecStep{.consumed = in.pos, .produced = out.pos, .at_boundary = boundary_};
  }

 private:
  explicit ZstdCodec(std::unique_ptr<ZSTD_DStream, ZstdDeleter> stream)
      : stream_(std::move(stream)) {}

  std::unique_ptr<ZSTD_DStream, ZstdDeleter> stream_;
  bool boundary_ = false;
};

class Bzip2Codec final : public Codec {
 public:
  Bzip2Codec() = default;
  Bzip2Codec(const Bzip2Codec&) = delete;
  Bzip2Codec& operator=(const Bzip2Codec&) = delete;

  ~Bzip2Codec() override { end(); }

  Result<CodecStep> run(Bytes input, MutableBytes output, InputEnd /*end*/) override {
    if (!active_) {
      BH_TRY(restart());
    }
    stream_.next_in = reinterpret_cast<char*>(input_pointer(input));
    stream_.avail_in = bounded(input.size());
    stream_.next_out = reinterpret_cast<char*>(output_pointer(output));
    stream_.avail_out = bounded(output.size());
    const unsigned offered = stream_.avail_in;
    const unsigned room = stream_.avail_out;
    const int result = BZ2_bzDecompress(&stream_);
    if (result != BZ_OK && result != BZ_STREAM_END) {
      return fail(ErrorCode::Corrupt, "bzip2: {}",
                  result == BZ_DATA_ERROR_MAGIC ? "invalid header" : "invalid data");
    }
    const CodecStep step{.consumed = offered - stream_.avail_in,
                         .produced = room - stream_.avail_out,
                         .at_boundary = result == BZ_STREAM_END};
    if (step.at_boundary) {
      end();
    }
    return step;
  }

  [[nodiscard]] Bytes member_magic() const override {
    static constexpr std::array kMagic{std::byte{'B'}, std::byte{'Z'}, std::byte{'h'}};
    return kMagic;
  }

  Result<> restart() override {
    end();
    stream_ = {};
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) {
      return fail(ErrorCode::Internal, "bzip2: cannot make a decoder");
    }
    active_ = true;
    return {};
  }

 private:
  void end() {
    if (std::exchange(active_, false)) {
      BZ2_bzDecompressEnd(&stream_);
    }
  }

  bz_stream stream_{};
  bool active_ = false;
};

class XzCodec final : public Codec {
 public:
  XzCodec() = default;
  XzCodec(const XzCodec&) = delete;
  XzCodec& operator=(const XzCodec&) = delete;

  ~XzCodec() override { lzma_end(&stream_); }

  static Result<std::unique_ptr<Codec>> create() {
    auto codec = std::make_unique<XzCodec>();
    if (lzma_stream_decoder(&codec->stream_, kXzMemoryBytes, LZMA_CONCATENATED) != LZMA_OK) {
      return fail(ErrorCode::Internal, "xz: cannot make a decoder");
    }
    return codec;
  }

  Result<CodecStep> run(Bytes input, MutableBytes output, InputEnd end) override {
    if (ended_) {
      return CodecStep{.at_boundary = true};
    }
    stream_.next_in = input_pointer(input);
    stream_.avail_in = input.size();
    stream_.next_out = output_pointer(output);
    stream_.avail_out = output.size();
    const lzma_ret result = lzma_code(&stream_, end == InputEnd::Reached ? LZMA_FINISH : LZMA_RUN);
    switch (result) {
      case LZMA_OK:
      case LZMA_BUF_ERROR:  // no progress
        break;
      case LZMA_STREAM_END:
        ended_ = true;
        break;
      case LZMA_MEMLIMIT_ERROR:
        return fail(ErrorCode::ResourceExhausted, "xz: needs more than {} MiB of memory",
                    kXzMemoryBytes >> 20U);
      case LZMA_FORMAT_ERROR:
        return fail(ErrorCode::Corrupt, "xz: invalid header");
      default:
        return fail(ErrorCode::Corrupt, "xz: invalid data");
    }
    return CodecStep{.consumed = input.size() - stream_.avail_in,
                     .produced = output.size() - stream_.avail_out,
                     .at_boundary = ended_};
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<Codec>> make_codec(Compression compression) {
  switch (compression) {
    case Compression::Gzip:
      return std::make_unique<GzipCodec>();
    case Compression::Zstd:
      return ZstdCodec::create();
    case Compression::Bzip2:
      return std::make_unique<Bzip2Codec>();
    case Compression::Xz:
      return XzCodec::create();
    case Compression::None:
      break;
  }
  return fail(ErrorCode::Internal, "no codec for compression {}", to_string(compression));
}

}  // namespace bulkhead::archive
