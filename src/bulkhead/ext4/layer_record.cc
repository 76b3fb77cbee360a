#include "bulkhead/ext4/layer_record.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_entry.h"
#include "bulkhead/ext4/tree.h"

namespace bulkhead::ext4 {
namespace {

// Images of the store have the default.
constexpr std::uint64_t kBlockSize = kDefaultBlockSize;

/// An entry with the longest names and 64 KiB of attributes, many of them, is well below.
constexpr std::size_t kMostFrameBytes = std::size_t{256} << 10U;
constexpr std::size_t kMostPathBytes = 4096;
constexpr std::size_t kMostNumberBytes = 10;

// The first byte of a frame.
constexpr unsigned kActionMask = 0x1f;  // a LayerAction, or:
constexpr unsigned kContent = 0x1f;
constexpr unsigned kHasAccessed = 0x20;
constexpr unsigned kHasXattrs = 0x40;

bool has_attributes(LayerAction action) {
  return action != LayerAction::HardLink && action != LayerAction::WhiteOut &&
         action != LayerAction::WhiteOutChildren;
}

bool has_link(LayerAction action) {
  return action == LayerAction::Symlink || action == LayerAction::HardLink;
}

bool has_device(LayerAction action) {
  return action == LayerAction::CharacterDevice || action == LayerAction::BlockDevice;
}

/// Small ones of either sign are small.
std::uint64_t zigzag(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  return value < 0 ? ~(bits << 1U) : bits << 1U;
}

std::int64_t unzigzag(std::uint64_t bits) {
  const std::uint64_t half = bits >> 1U;
  return static_cast<std::int64_t>((bits & 1U) != 0 ? ~half : half);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
void append_number(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) {
    to += static_cast<char>(0x80U | (value & 0x7fU));
  }
  to += static_cast<char>(value);
}

Error corrupt(std::string_view what) { return fail(ErrorCode::Corrupt, "layer record: {}", what); }

}  // namespace

void LayerRecorder::put(std::uint64_t value) { append_number(encoded_, value); }

void LayerRecorder::put_text(std::string_view text) {
  put(text.size());
  encoded_ += text;
}

void LayerRecorder::put_time(const Timestamp& time) {
  put(zigzag(time.seconds));
  put(time.nanoseconds);
}

Result<> LayerRecorder::write() {
  if (encoded_.size() > kMostFrameBytes) {
    return fail(ErrorCode::ResourceExhausted, "layer record: an entry of {} bytes",
                encoded_.size());
  }
  std::string size;
  append_number(size, encoded_.size());
  BH_TRY(out_.write(as_bytes(size)));
  BH_TRY(out_.write(as_bytes(encoded_)));
  encoded_.clear();
  return {};
}

Result<> LayerRecorder::add(const LayerEntry& entry) {
  const bool is_full = has_attributes(entry.action);
  auto tag = static_cast<unsigned>(entry.action);
  if (is_full && entry.attributes.accessed) {
    tag |= kHasAccessed;
  }
  if (is_full && !entry.xattrs.empty()) {
    tag |= kHasXattrs;
  }
  encoded_ += static_cast<char>(tag);
  const auto shared = static_cast<std::size_t>(
      std::distance(path_.begin(), std::ranges::mismatch(path_, entry.path).in1));
  put(shared);
  put_text(entry.path.substr(shared));
  path_ = entry.path;
  if (has_link(entry.action)) {
    put_text(entry.link);
  }
  if (is_full) {
    put(entry.attributes.permissions);
    put(entry.attributes.uid);
    put(entry.attributes.gid);
    put_time(entry.attributes.modified);
    if (entry.attributes.accessed) {
      put_time(*entry.attributes.accessed);
    }
  }
  if (has_device(entry.action)) {
    put(entry.device.major);
    put(entry.device.minor);
  }
  if (entry.action == LayerAction::File) {
    put(entry.size);
  }
  if ((tag & kHasXattrs) != 0) {
    put(entry.xattrs.size());
    for (const Xattr& xattr : entry.xattrs) {
      put_text(xattr.name);
      put_text(as_text(xattr.value));
    }
  }
  return write();
}

Result<> LayerRecorder::add_content(std::span<const Extent> extents) {
  std::uint64_t file_block = 0;
  for (const Extent& extent : extents) {
    BH_CHECK(extent.start >= next_block_);  // nothing that was replaced is used again
    encoded_ += static_cast<char>(kContent);
    put(extent.logical - file_block);
    put(extent.start - next_block_);
    put(extent.count);
    file_block = std::uint64_t{extent.logical} + extent.count;
    next_block_ = extent.start + extent.count;
    BH_TRY(write());
  }
  return {};
}

/// What a frame holds. After anything that is wrong everything reads as zero, and is_good() says
/// so.
class LayerRecordReader::Fields {
 public:
  explicit Fields(Bytes rest) : rest_(rest) {}

  [[nodiscard]] Bytes rest() const { return rest_; }

  [[nodiscard]] bool is_good() const { return is_good_ && rest_.empty(); }

  void give_up() {
    is_good_ = false;
    rest_ = {};
  }

  std::uint64_t number(std::uint64_t most = UINT64_MAX) {
    std::uint64_t value = 0;
    for (std::size_t at = 0; at < std::min(rest_.size(), kMostNumberBytes); ++at) {
      const auto byte = std::to_integer<std::uint64_t>(rest_[at]);
      const std::size_t shift = 7 * at;
      const std::uint64_t bits = byte & 0x7fU;
      if ((bits << shift) >> shift != bits) {
        break;
      }
      value |= bits << shift;
      if (byte < 0x80 && value <= most) {
        rest_ = rest_.subspan(at + 1);
        return value;
      }
    }
    give_up();
    return 0;
  }

  Bytes bytes(std::size_t most) {
    const auto size = static_cast<std::size_t>(number(std::min(most, rest_.size())));
    if (size > rest_.size()) {
      give_up();
      return {};
    }
    const Bytes bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }

  std::string_view text(std::size_t most) {
    const std::string_view text = as_text(bytes(most));
    if (text.find('\0') != std::string_view::npos) {
      give_up();
    }
    return text;
  }

  Timestamp time() {
    const std::int64_t seconds = unzigzag(number());
    return {.seconds = seconds, .nanoseconds = static_cast<std::uint32_t>(number(UINT32_MAX))};
  }

 private:
  Bytes rest_;
  bool is_good_ = true;
};

/// Makes that much available behind position_, less only when the source has ended.
Result<std::size_t> LayerRecordReader::fill(std::size_t size) {
  if (buffer_.size() - position_ < size) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(position_));
    position_ = 0;
    while (buffer_.size() < size) {
      const Bytes piece = BH_TRY(source_.next());
      if (piece.empty()) {
        break;
      }
      buffer_.insert(buffer_.end(), piece.begin(), piece.end());
    }
  }
  return buffer_.size() - position_;
}

/// The frame at position_, or nothing at the end of the source.
Result<std::optional<Bytes>> LayerRecordReader::peek() {
  const std::size_t available = BH_TRY(fill(kMostNumberBytes));
  if (available == 0) {
    return std::nullopt;
  }
  Fields fields(Bytes(buffer_).subspan(position_, std::min(available, kMostNumberBytes)));
  const std::size_t before = fields.rest().size();
  const auto size = static_cast<std::size_t>(fields.number(kMostFrameBytes));
  if (size == 0) {
    return corrupt("an entry of no or too many bytes");
  }
  const std::size_t head = before - fields.rest().size();
  frame_ = head + size;
  if (BH_TRY(fill(frame_)) < frame_) {
    return corrupt("it ends in the middle of an entry");
  }
  return Bytes(buffer_).subspan(position_ + head, size);
}

void LayerRecordReader::read_path(Fields& fields) {
  path_.resize(static_cast<std::size_t>(fields.number(path_.size())));
  path_ += fields.text(kMostPathBytes - path_.size());
  entry_.path = path_;
}

void LayerRecordReader::read_attributes(Fields& fields, bool has_accessed) {
  Attributes& attributes = entry_.attributes;
  attributes.permissions = static_cast<std::uint16_t>(fields.number(07777));
  attributes.uid = static_cast<std::uint32_t>(fields.number(UINT32_MAX));
  attributes.gid = static_cast<std::uint32_t>(fields.number(UINT32_MAX));
  attributes.modified = fields.time();
  if (has_accessed) {
    attributes.accessed = fields.time();
  }
}

void LayerRecordReader::read_xattrs(Fields& fields) {
  // Each takes two bytes at least.
  const std::uint64_t count = fields.number(fields.rest().size() / 2);
  xattrs_.clear();
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::string_view name = fields.text(kMostFrameBytes);
    xattrs_.push_back({.name = name, .value = fields.bytes(kMostFrameBytes)});
  }
  entry_.xattrs = xattrs_;
}

Result<const LayerEntry*> LayerRecordReader::next() {
  const std::optional<Bytes> frame = BH_TRY(peek());
  if (!frame) {
    return nullptr;
  }
  const auto tag = std::to_integer<unsigned>(frame->front());
  const unsigned action = tag & kActionMask;
  entry_ = {.action = static_cast<LayerAction>(action)};
  const unsigned flags = tag & ~kActionMask;
  const unsigned known = has_attributes(entry_.action) ? kHasAccessed | kHasXattrs : 0;
  if (action < static_cast<unsigned>(LayerAction::File) ||
      action > static_cast<unsigned>(LayerAction::WhiteOutChildren) || (flags & ~known) != 0) {
    return corrupt("an entry of an unknown kind");
  }
  Fields fields(frame->subspan(1));
  read_path(fields);
  if (has_link(entry_.action)) {
    entry_.link = fields.text(kMostPathBytes);
  }
  if (has_attributes(entry_.action)) {
    read_attributes(fields, (flags & kHasAccessed) != 0);
  }
  if (has_device(entry_.action)) {
    entry_.device.major = static_cast<std::uint32_t>(fields.number(UINT32_MAX));
    entry_.device.minor = static_cast<std::uint32_t>(fields.number(UINT32_MAX));
  }
  if (entry_.action == LayerAction::File) {
    entry_.size = fields.number();
  }
  if ((flags & kHasXattrs) != 0) {
    read_xattrs(fields);
  }
  if (!fields.is_good()) {
    return corrupt("a malformed entry");
  }
  position_ += frame_;
  file_block_ = 0;
  return &entry_;
}

Result<std::optional<LayerRecordReader::Content>> LayerRecordReader::next_content() {
  const std::optional<Bytes> frame = BH_TRY(peek());
  if (!frame || std::to_integer<unsigned>(frame->front()) != kContent) {
    return std::nullopt;
  }
  Fields fields(frame->subspan(1));
  const std::uint64_t file_blocks =
      entry_.size / kBlockSize + (entry_.size % kBlockSize == 0 ? 0 : 1);
  const std::uint64_t hole = fields.number(file_blocks - file_block_);
  const std::uint64_t start = next_block_ + fields.number(image_blocks_ - next_block_);
  const std::uint64_t first = file_block_ + hole;
  const std::uint64_t count = fields.number(std::min(file_blocks - first, image_blocks_ - start));
  if (!fields.is_good() || count == 0) {
    return corrupt("content that is not in the file or not in the image");
  }
  position_ += frame_;
  file_block_ = first + count;
  next_block_ = start + count;
  return Content{.hole = hole * kBlockSize,
                 .offset = start * kBlockSize,
                 .length = std::min(count * kBlockSize, entry_.size - first * kBlockSize)};
}

Result<> replay_layer(Formatter& formatter, LayerRecordReader& record, int image,
                      LayerRecorder& recorder) {
  formatter.begin_layer();
  while (const LayerEntry* entry = BH_TRY(record.next())) {
    BH_TRY(apply_entry(formatter, *entry));
    BH_TRY(recorder.add(*entry));
    if (entry->action != LayerAction::File) {
      continue;
    }
    const std::uint64_t size = entry->size;
    std::uint64_t at = 0;
    while (const auto content = BH_TRY(record.next_content())) {
      BH_TRY(formatter.append_hole(content->hole));
      BH_TRY(formatter.append_copy(
          {.fd = image, .offset = content->offset, .length = content->length}));
      at += content->hole + content->length;
    }
    if (size > at) {
      BH_TRY(formatter.append_hole(size - at));
    }
    BH_TRY(formatter.end_file());
    BH_TRY(recorder.add_content(formatter.content()));
  }
  return formatter.flush();
}

}  // namespace bulkhead::ext4
