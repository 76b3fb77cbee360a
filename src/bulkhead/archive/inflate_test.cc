#include "bulkhead/archive/inflate.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include <bzlib.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/hash/hasher.h"

namespace bulkhead::archive {
namespace {

std::string sample(std::size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size) {
    text += random() % 3 == 0 ? std::string(random() % 50, 'z') : std::to_string(random());
  }
  text.resize(size);
  return text;
}

std::string gzip(std::string_view text, const char* name = nullptr) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  gz_header header{};
  std::string owned = name == nullptr ? "" : name;
  if (name != nullptr) {
    header.name = reinterpret_cast<Bytef*>(owned.data());
    header.hcrc = 1;
    deflateSetHeader(&stream, &header);
  }
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

std::string bzip2(std::string_view text) {
  std::string out(text.size() + text.size() / 50 + 1000, '\0');
  auto size = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(text.data()),
                                     static_cast<unsigned>(text.size()), 1, 0, 0),
            BZ_OK);
  out.resize(size);
  return out;
}

std::string xz(std::string_view text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  std::size_t at = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<std::uint8_t*>(out.data()), &at, out.size()),
            LZMA_OK);
  out.resize(at);
  return out;
}

std::string compress(Compression compression, std::string_view text) {
  switch (compression) {
    case Compression::Gzip:
      return gzip(text);
    case Compression::Zstd:
      return zstd(text);
    case Compression::Bzip2:
      return bzip2(text);
    case Compression::Xz:
      return xz(text);
    case Compression::None:
      break;
  }
  return std::string(text);
}

Result<std::string> inflate(Compression compression, std::string_view data,
                            std::size_t piece = SIZE_MAX, const InflateLimits& limits = {}) {
  BytesReader source(as_bytes(data), piece);
  auto reader = BH_TRY(make_inflater(compression, source, limits));
  return read_all(*reader, std::size_t{1} << 30U);
}

class EveryCompression : public testing::TestWithParam<Compression> {};

TEST_P(EveryCompression, RoundTrips) {
  for (const std::size_t size : {0U, 1U, 4096U, 1'000'000U}) {
    const std::string text = sample(size);
    const std::string data = compress(GetParam(), text);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, SIZE_MAX}) {
      if (piece < 7 && size > 100'000) {
        continue;
      }
      const auto result = inflate(GetParam(), data, piece);
      ASSERT_THAT(result, IsOk()) << size << " by " << piece;
      EXPECT_TRUE(*result == text) << size << " by " << piece;
    }
  }
}

TEST_P(EveryCompression, ReadsConcatenatedStreams) {
  const std::string text = sample(10'000);
  const std::string data =
      compress(GetParam(), text) + compress(GetParam(), "") + compress(GetParam(), "the end");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, SIZE_MAX}) {
    EXPECT_THAT(inflate(GetParam(), data, piece), IsOkAnd(text + "the end"));
  }
}

TEST_P(EveryCompression, RefusesTruncationAnywhere) {
  if (GetParam() == Compression::None) {
    return;
  }
  const std::string data = compress(GetParam(), sample(1000));
  for (std::size_t size = 0; size < data.size(); ++size) {
    EXPECT_THAT(inflate(GetParam(), data.substr(0, size)), IsError(ErrorCode::Corrupt)) << size;
  }
}

TEST_P(EveryCompression, SurvivesEveryFlippedByte) {
  const std::string text = sample(300);
  const std::string data = compress(GetParam(), text);
  for (std::size_t at = 0; at < data.size(); ++at) {
    std::string bad = data;
    bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ 0xffU);
    // Some header bytes mean nothing: then the content must be right.
    const auto result = inflate(GetParam(), bad, 64);
    if (result && GetParam() != Compression::None) {
      EXPECT_TRUE(*result == text || result->empty()) << at;
    }
  }
}

TEST_P(EveryCompression, IsDetected) {
  const std::string text = sample(5000);
  const std::string data = compress(GetParam(), text);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4}, SIZE_MAX}) {
    BytesReader source(as_bytes(data), piece);
    auto detected = detect_inflater(source);
    ASSERT_THAT(detected, IsOk());
    EXPECT_EQ(detected->compression, GetParam());
    EXPECT_THAT(read_all(*detected->reader, 1U << 20U), IsOkAnd(text));
  }
}

TEST_P(EveryCompression, StopsAtTheOutputLimit) {
  const std::string data = compress(GetParam(), std::string(3'000'000, '\0'));
  EXPECT_THAT(inflate(GetParam(), data, SIZE_MAX, {.output_bytes = 3'000'000}), IsOk());
  EXPECT_THAT(inflate(GetParam(), data, SIZE_MAX, {.output_bytes = 2'999'999}),
              IsError(ErrorCode::ResourceExhausted));
}

TEST_P(EveryCompression, ReadsItsSourceToTheEnd) {
  const bool ignores_garbage = GetParam() == Compression::Gzip || GetParam() == Compression::Bzip2;
  const std::string data =
      compress(GetParam(), "text") + (ignores_garbage ? std::string(100'000, 'g') : "");
  BytesReader bytes(as_bytes(data), 10);
  auto hasher = hash::Hasher::create();
  ASSERT_THAT(hasher, IsOk());
  HashingReader source(bytes, *hasher);
  auto reader = make_inflater(GetParam(), source);
  ASSERT_THAT(reader, IsOk());
  EXPECT_THAT(read_all(**reader, 1000), IsOkAnd(std::string("text")));
  EXPECT_EQ(hasher->finish(), *hash::digest_of(as_bytes(data)));
}

INSTANTIATE_TEST_SUITE_P(All, EveryCompression,
                         testing::Values(Compression::None, Compression::Gzip, Compression::Zstd,
                                         Compression::Bzip2, Compression::Xz),
                         [](const auto& param) { return std::string(to_string(param.param)); });

TEST(Gzip, ReadsOptionalHeaderFields) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, SIZE_MAX}) {
    EXPECT_THAT(inflate(Compression::Gzip, gzip("text", "layer.tar"), piece),
                IsOkAnd(std::string("text")))
        << piece;
  }
}

TEST(Gzip, IgnoresWhatFollowsTheLastMember) {
  const std::string member = gzip("text");
  for (const std::string_view garbage :
       {std::string_view("\0", 1), std::string_view("\0\0\0\0\0\0", 6), std::string_view("\x1f"),
        std::string_view("garbage")}) {
    for (const std::size_t piece : {std::size_t{1}, SIZE_MAX}) {
      EXPECT_THAT(inflate(Compression::Gzip, member + std::string(garbage), piece),
                  IsOkAnd(std::string("text")));
    }
  }
  // What looks like another member has to be one.
  EXPECT_THAT(inflate(Compression::Gzip, member + "\x1f\x8b"), IsError(ErrorCode::Corrupt));
}

TEST(Gzip, ReadsAHundredThousandEmptyMembers) {
  const std::string member = gzip("");
  std::string data;
  for (int i = 0; i < 100'000; ++i) {
    data += member;
  }
  EXPECT_THAT(inflate(Compression::Gzip, data), IsOkAnd(std::string()));
}

TEST(Gzip, StopsABombByItsRatio) {
  const std::string data = gzip(std::string(std::size_t{70} << 20U, '\0'));
  EXPECT_THAT(inflate(Compression::Gzip, data, SIZE_MAX, {.ratio = 2000}), IsOk());
  EXPECT_THAT(inflate(Compression::Gzip, data, SIZE_MAX, {.ratio = 500}),
              IsError(ErrorCode::ResourceExhausted));
}

TEST(Zstd, SkipsSkippableFrames) {
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  const std::string data = skippable + zstd("text") + skippable;
  BytesReader source(as_bytes(data));
  auto detected = detect_inflater(source);
  ASSERT_THAT(detected, IsOk());
  EXPECT_EQ(detected->compression, Compression::Zstd);
  EXPECT_THAT(read_all(*detected->reader, 100), IsOkAnd(std::string("text")));
}

TEST(Zstd, RefusesAHugeWindow) {
  // Magic, a frame header without single-segment flag and content size, window descriptor 2 GiB.
  const std::string data("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
  EXPECT_THAT(inflate(Compression::Zstd, data), IsError(ErrorCode::ResourceExhausted));
}

TEST(Zstd, RefusesALyingContentSize) {
  std::string data = zstd(std::string(300, 'a'));
  // Frame header: magic, descriptor with a two-byte content size, size minus 256.
  ASSERT_EQ(static_cast<unsigned char>(data[4]) & 0xc0U, 0x40U);
  data[5] = static_cast<char>(data[5] + 1);
  EXPECT_THAT(inflate(Compression::Zstd, data), IsError(ErrorCode::Corrupt));
}

TEST(Zstd, RefusesTrailingGarbage) {
  EXPECT_THAT(inflate(Compression::Zstd, zstd("text") + "garbage"), IsError(ErrorCode::Corrupt));
}

TEST(Inflate, RefusesAnotherFormat) {
  for (const Compression compression :
       {Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz}) {
    EXPECT_THAT(inflate(compression, "<html><body>not a layer</body></html>"),
                IsError(ErrorCode::Corrupt));
  }
}

TEST(Inflate, CallsAnEmptyStreamPlain) {
  BytesReader source({});
  auto detected = detect_inflater(source);
  ASSERT_THAT(detected, IsOk());
  EXPECT_EQ(detected->compression, Compression::None);
  EXPECT_THAT(read_all(*detected->reader, 1), IsOkAnd(std::string()));
}

}  // namespace
}  // namespace bulkhead::archive
