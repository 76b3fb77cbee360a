#pragma once

// A frame is a header of 10 bytes and up to 4 MiB of data. Requests open streams, odd numbers from
// the client, ever increasing; responses end them; data frames are the messages of streaming calls.
// The whole format: docs/formats/ttrpc.md.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "bulkhead/base/bytes.h"

namespace bulkhead::ttrpc {

using StreamId = std::uint32_t;

inline constexpr std::size_t kMaxDataSize = 4U << 20U;

enum class FrameType : std::uint8_t { Request = 1, Response = 2, Data = 3 };

inline constexpr std::uint8_t kFlagRemoteClosed = 0x01;
inline constexpr std::uint8_t kFlagRemoteOpen = 0x02;
inline constexpr std::uint8_t kFlagNoData = 0x04;

struct FrameHeader {
  be32 length;  ///< of the data
  be32 stream;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
};

static_assert(sizeof(FrameHeader) == 10 && alignof(FrameHeader) == 1);

/// Header and data in one piece. `data` is at most kMaxDataSize.
std::string make_frame(FrameType type, StreamId stream, std::uint8_t flags, Bytes data);

/// Cuts a byte stream into frames, whatever pieces it comes in.
class FrameReader {
 public:
  /// `data` is valid during the call; for an oversized frame it is empty and `oversized` is true,
  /// and its data is skipped. False ends feed().
  using OnFrame = std::function<bool(const FrameHeader& header, Bytes data, bool oversized)>;

  void feed(Bytes bytes, const OnFrame& on_frame);

 private:
  std::array<std::byte, sizeof(FrameHeader)> header_bytes_{};
  std::size_t header_size_ = 0;  ///< bytes of the header that are there
  FrameHeader header_;
  std::string data_;        ///< of a frame that came in pieces
  std::size_t wanted_ = 0;  ///< bytes of data still to come
  bool oversized_ = false;
};

}  // namespace bulkhead::ttrpc
