#include "bulkhead/ttrpc/frame.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"

namespace bulkhead::ttrpc {
namespace {

struct Seen {
  std::uint32_t stream;
  int type;
  int flags;
  std::string data;
  bool oversized;

  bool operator==(const Seen&) const = default;
};

/// What a reader sees of `bytes` in pieces of `step`.
std::vector<Seen> read_all(const std::string& bytes, std::size_t step) {
  FrameReader reader;
  std::vector<Seen> seen;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    reader.feed(as_bytes(bytes.substr(at, step)),
                [&](const FrameHeader& header, Bytes data, bool oversized) {
                  seen.push_back({header.stream, header.type, header.flags,
                                  std::string(as_text(data)), oversized});
                  return true;
                });
  }
  return seen;
}

TEST(FrameReader, SeesTheSameFramesHoweverTheyAreCut) {
  const std::string bytes =
      make_frame(FrameType::Request, 1, kFlagRemoteOpen, as_bytes("hello")) +
      make_frame(FrameType::Data, 1, 0, {}) +
      make_frame(FrameType::Response, 0xfffffffd, 0xff, as_bytes(std::string(70000, 'x')));
  const std::vector<Seen> expected = {{1, 1, 2, "hello", false},
                                      {1, 3, 0, "", false},
                                      {0xfffffffd, 2, 0xff, std::string(70000, 'x'), false}};
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, bytes.size()}) {
    EXPECT_EQ(read_all(bytes, step), expected) << step;
  }
}

TEST(FrameReader, TakesTheLargestFrame) {
  const std::string bytes =
      make_frame(FrameType::Data, 3, 0, as_bytes(std::string(kMaxDataSize, 'z')));
  const auto seen = read_all(bytes, 65536);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].data.size(), kMaxDataSize);
}

TEST(FrameReader, SkipsOversizedFrames) {
  std::string bytes = make_frame(FrameType::Request, 5, 0, {});
  bytes[1] = 0x40;  // 4 MiB + 1
  bytes[3] = 1;
  bytes += std::string(kMaxDataSize + 1, 'y');
  bytes += make_frame(FrameType::Data, 7, 0, as_bytes("after"));
  const std::vector<Seen> expected = {{5, 1, 0, "", true}, {7, 3, 0, "after", false}};
  EXPECT_EQ(read_all(bytes, 65536), expected);
  EXPECT_EQ(read_all(bytes, bytes.size()), expected);
}

TEST(FrameReader, AnnouncesTheLargestLengthAtOnceAndHoldsNothingOfIt) {
  const std::string header("\xff\xff\xff\xff\0\0\0\1\1\0", 10);
  const auto seen = read_all(header + std::string(1 << 20, 'q'), 65536);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_TRUE(seen[0].oversized);
}

}  // namespace
}  // namespace bulkhead::ttrpc
