#include "bulkhead/ttrpc/frame.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"

namespace bulkhead::ttrpc {

std::string make_frame(FrameType type, StreamId stream, std::uint8_t flags, Bytes data) {
  BH_CHECK(data.size() <= kMaxDataSize);
  const FrameHeader header{.length = static_cast<std::uint32_t>(data.size()),
                           .stream = stream,
                           .type = std::to_underlying(type),
                           .flags = flags};
  std::string frame;
  frame.reserve(sizeof header + data.size());
  frame += as_text(object_bytes(header));
  frame += as_text(data);
  return frame;
}

void FrameReader::feed(Bytes bytes, const OnFrame& on_frame) {
  while (true) {
    if (header_size_ < sizeof(FrameHeader)) {
      const std::size_t size = std::min(bytes.size(), sizeof(FrameHeader) - header_size_);
      copy_bytes(bytes.first(size), std::span(header_bytes_).subspan(header_size_));
      header_size_ += size;
      bytes = bytes.subspan(size);
      if (header_size_ < sizeof(FrameHeader)) {
        return;
      }
      header_ = std::bit_cast<FrameHeader>(header_bytes_);
      wanted_ = header_.length;
      oversized_ = wanted_ > kMaxDataSize;
      if (oversized_ && !on_frame(header_, {}, true)) {
        return;
      }
    }
    const Bytes piece = bytes.first(std::min(bytes.size(), wanted_));
    bytes = bytes.subspan(piece.size());
    wanted_ -= piece.size();
    if (oversized_) {
      if (wanted_ != 0) {
        return;
      }
      header_size_ = 0;
      continue;
    }
    if (wanted_ != 0) {
      data_ += as_text(piece);
      return;
    }
    header_size_ = 0;
    if (data_.empty()) {
      if (!on_frame(header_, piece, false)) {
        return;
      }
      continue;
    }
    data_ += as_text(piece);
    const std::string data = std::exchange(data_, {});
    if (!on_frame(header_, as_bytes(data), false)) {
      return;
    }
  }
}

}  // namespace bulkhead::ttrpc
