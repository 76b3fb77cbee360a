#include "bulkhead/images/root_record.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_record.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

constexpr std::array<char, 8> kMagic{'B', 'H', 'L', 'A', 'Y', 'E', 'R', 'S'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20U;
constexpr std::size_t kBufferBytes = std::size_t{64} << 10U;
constexpr std::size_t kDigestBytes = 136;

/// At the beginning.
struct Header {
  std::array<char, 8> magic{};
  le32 version;
  le32 block_size;
  ext4::Uuid image_uuid{};
  le64 image_bytes;
  le64 table_offset;  ///< to the end of the file
  le32 layers;
  le32 table_checksum;
  le32 reserved;
  le32 checksum;  ///< of all before
};

static_assert(sizeof(Header) == 64);
constexpr std::size_t kHeaderChecked = offsetof(Header, checksum);

/// The table at the end has one for each layer, lowest first.
struct TableEntry {
  std::array<char, kDigestBytes> diff_id{};  ///< text, zeros behind it
  le64 tar_bytes;
  le64 offset;
  le64 length;
  le32 checksum;
  le32 reserved;
};

static_assert(sizeof(TableEntry) == 168);

Error corrupt(std::string_view what) {
  return fail(ErrorCode::Corrupt, "record of a root's layers: {}", what);
}

std::uint32_t header_checksum(const Header& header) {
  return ext4::crc32c(ext4::kChecksumStart, object_bytes(header).first(kHeaderChecked));
}

/// A layer's part of the file; what does not match its checksum ends with Corrupt.
class SectionReader final : public archive::Reader {
 public:
  SectionReader(int fd, const RecordedLayer& layer)
      : fd_(fd),
        offset_(layer.offset),
        left_(layer.length),
        expected_(layer.checksum),
        buffer_(kBufferBytes) {}

  Result<Bytes> next() override {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size()));
    if (size == 0) {
      if (checksum_ != expected_) {
        return corrupt("a layer does not match its checksum");
      }
      return Bytes{};
    }
    const MutableBytes piece = MutableBytes(buffer_).first(size);
    BH_TRY(os::pread_exactly(fd_, piece, offset_));
    checksum_ = ext4::crc32c(checksum_, piece);
    offset_ += size;
    left_ -= size;
    return Bytes(piece);
  }

 private:
  int fd_;
  std::uint64_t offset_;
  std::uint64_t left_;
  std::uint32_t expected_;
  std::uint32_t checksum_ = ext4::kChecksumStart;
  std::vector<std::byte> buffer_;
};

Result<RecordedLayer> layer_of(const TableEntry& entry, std::uint64_t table_offset) {
  const std::string_view text(entry.diff_id.data(), entry.diff_id.size());
  auto diff_id = Digest::parse(text.substr(0, text.find('\0')));
  const bool is_inside = entry.offset >= sizeof(Header) && entry.offset <= table_offset &&
                         entry.length <= table_offset - entry.offset;
  if (!diff_id || !is_inside) {
    return corrupt("a malformed table");
  }
  return RecordedLayer{.diff_id = *std::move(diff_id),
                       .tar_bytes = entry.tar_bytes,
                       .offset = entry.offset,
                       .length = entry.length,
                       .checksum = entry.checksum};
}

Result<ext4::Uuid> uuid_of(int image) {
  ext4::Uuid uuid{};
  BH_TRY(
      os::pread_exactly(image, uuid, ext4::kSuperblockOffset + offsetof(ext4::Superblock, uuid)));
  return uuid;
}

}  // namespace

/// Buffers a layer's part of the file and sums it up.
class RootRecordWriter::Section final : public archive::Writer {
 public:
  Section(int fd, std::uint64_t offset) : fd_(fd), offset_(offset) {}

  Result<> write(Bytes data) override {
    length_ += data.size();
    if (is_too_large()) {
      return {};
    }
    checksum_ = ext4::crc32c(checksum_, data);
    buffer_.insert(buffer_.end(), data.begin(), data.end());
    return buffer_.size() < kBufferBytes ? Result<>() : flush();
  }

  Result<> flush() {
    BH_TRY(os::pwrite_all(fd_, buffer_, offset_ + flushed_));
    flushed_ += buffer_.size();
    buffer_.clear();
    return {};
  }

  [[nodiscard]] bool is_too_large() const { return offset_ + length_ > kMostBytes; }

  [[nodiscard]] std::uint64_t offset() const { return offset_; }

  [[nodiscard]] std::uint64_t length() const { return length_; }

  [[nodiscard]] std::uint32_t checksum() const { return checksum_; }

 private:
  int fd_;
  std::uint64_t offset_;
  std::uint64_t length_ = 0;
  std::uint64_t flushed_ = 0;
  std::uint32_t checksum_ = ext4::kChecksumStart;
  std::vector<std::byte> buffer_;
};

RootRecordWriter::RootRecordWriter(int fd) : fd_(fd), next_offset_(sizeof(Header)) {}

RootRecordWriter::RootRecordWriter(RootRecordWriter&&) noexcept = default;
RootRecordWriter::~RootRecordWriter() = default;

ext4::LayerRecorder& RootRecordWriter::begin_layer() {
  section_ = std::make_unique<Section>(fd_, next_offset_);
  return recorder_.emplace(*section_);
}

Result<> RootRecordWriter::end_layer(const Digest& diff_id, std::uint64_t tar_bytes) {
  next_offset_ = section_->offset() + section_->length();
  if (section_->is_too_large()) {
    return {};
  }
  BH_TRY(section_->flush());
  layers_.push_back({.diff_id = diff_id,
                     .tar_bytes = tar_bytes,
                     .offset = section_->offset(),
                     .length = section_->length(),
                     .checksum = section_->checksum()});
  return {};
}

Result<> RootRecordWriter::finish(const ext4::FormatResult& root) {
  if (next_offset_ > kMostBytes) {
    layers_.clear();
    next_offset_ = sizeof(Header);
    BH_TRY(os::set_file_size(fd_, next_offset_));
  }
  std::vector<TableEntry> table(layers_.size());
  for (std::size_t index = 0; index < table.size(); ++index) {
    const RecordedLayer& layer = layers_[index];
    std::ranges::copy(layer.diff_id.text(), table[index].diff_id.begin());
    table[index].tar_bytes = layer.tar_bytes;
    table[index].offset = layer.offset;
    table[index].length = layer.length;
    table[index].checksum = layer.checksum;
  }
  const Bytes entries = std::as_bytes(std::span(table));
  Header header{.magic = kMagic,
                .version = kVersion,
                .block_size = ext4::kDefaultBlockSize,
                .image_uuid = root.uuid,
                .image_bytes = root.size_bytes,
                .table_offset = next_offset_,
                .layers = static_cast<std::uint32_t>(table.size()),
                .table_checksum = ext4::crc32c(ext4::kChecksumStart, entries)};
  header.checksum = header_checksum(header);
  BH_TRY(os::pwrite_all(fd_, entries, next_offset_));
  return os::pwrite_all(fd_, object_bytes(header), 0);
}

RootRecord::RootRecord(store::RootFiles files, std::uint64_t image_blocks,
                       std::vector<RecordedLayer> layers)
    : files_(std::move(files)), image_blocks_(image_blocks), layers_(std::move(layers)) {}

Result<RootRecord> RootRecord::open(store::RootFiles files) {
  Header header;
  BH_TRY(os::pread_exactly(files.record.get(), object_bytes(header), 0).context("record"));
  if (header.magic != kMagic || header.checksum != header_checksum(header)) {
    return corrupt("a malformed header");
  }
  if (header.version != kVersion || header.block_size != ext4::kDefaultBlockSize) {
    return fail(ErrorCode::Unsupported, "record of a root's layers: version {}, blocks of {} bytes",
                std::uint32_t{header.version}, std::uint32_t{header.block_size});
  }
  const os::FileSpace image = BH_TRY(os::file_space(files.image.get()));
  if (header.image_bytes > image.size || header.image_uuid != BH_TRY(uuid_of(files.image.get()))) {
    return corrupt("it belongs to another root");
  }
  const std::uint64_t size = BH_TRY(os::file_space(files.record.get())).size;
  if (header.layers > oci::kMostLayers || header.table_offset > size ||
      size - header.table_offset != header.layers * sizeof(TableEntry)) {
    return corrupt("a malformed table");
  }
  std::vector<TableEntry> table(header.layers);
  const MutableBytes entries = std::as_writable_bytes(std::span(table));
  BH_TRY(os::pread_exactly(files.record.get(), entries, header.table_offset).context("record"));
  if (ext4::crc32c(ext4::kChecksumStart, entries) != header.table_checksum) {
    return corrupt("the table does not match its checksum");
  }
  std::vector<RecordedLayer> layers;
  layers.reserve(table.size());
  for (const TableEntry& entry : table) {
    layers.push_back(BH_TRY(layer_of(entry, header.table_offset)));
  }
  return RootRecord(std::move(files), header.image_bytes / ext4::kDefaultBlockSize,
                    std::move(layers));
}

std::optional<RecordedLayer> RootRecord::find(const Digest& diff_id) const {
  const auto found = std::ranges::find(layers_, diff_id, &RecordedLayer::diff_id);
  return found == layers_.end() ? std::nullopt : std::optional(*found);
}

Result<> RootRecord::replay(const RecordedLayer& layer, ext4::Formatter& formatter,
                            ext4::LayerRecorder& recorder) const {
  SectionReader section(files_.record.get(), layer);
  ext4::LayerRecordReader record(section, image_blocks_);
  return ext4::replay_layer(formatter, record, files_.image.get(), recorder);
}

}  // namespace bulkhead::images
