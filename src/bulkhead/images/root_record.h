#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_record.h"
#include "bulkhead/store/ingest.h"

// The file beside a root that says how each of its layers is applied to another root without its
// blob: docs/formats/store.md. It is only ever an advantage: what is wrong with it is an error that
// is answered by inflating the blob.

namespace bulkhead::images {

/// One layer in the file.
struct RecordedLayer {
  Digest diff_id;
  std::uint64_t tar_bytes = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t checksum = 0;
};

/// Writes the file. One that would take more than 256 MiB ends up without layers.
class RootRecordWriter {
 public:
  /// `fd` is borrowed; an empty file.
  explicit RootRecordWriter(int fd);
  RootRecordWriter(RootRecordWriter&&) noexcept;
  RootRecordWriter& operator=(RootRecordWriter&&) = delete;
  RootRecordWriter(const RootRecordWriter&) = delete;
  RootRecordWriter& operator=(const RootRecordWriter&) = delete;
  ~RootRecordWriter();

  /// For the layer that comes next; until end_layer().
  ext4::LayerRecorder& begin_layer();

  /// Errors: NoSpace, Io.
  Result<> end_layer(const Digest& diff_id, std::uint64_t tar_bytes);

  /// Errors: NoSpace, Io.
  Result<> finish(const ext4::FormatResult& root);

 private:
  class Section;

  int fd_;
  std::uint64_t next_offset_;
  std::vector<RecordedLayer> layers_;
  std::unique_ptr<Section> section_;
  std::optional<ext4::LayerRecorder> recorder_;
};

/// Reads the file, with the root that it belongs to.
class RootRecord {
 public:
  /// Errors: Corrupt for what is torn or malformed, or stands beside another root; Unsupported for
  /// another version.
  static Result<RootRecord> open(store::RootFiles files);

  [[nodiscard]] std::optional<RecordedLayer> find(const Digest& diff_id) const;

  /// Applies a layer that find() gave. Errors: Corrupt too; those of ext4::replay_layer().
  Result<> replay(const RecordedLayer& layer, ext4::Formatter& formatter,
                  ext4::LayerRecorder& recorder) const;

 private:
  RootRecord(store::RootFiles files, std::uint64_t image_blocks, std::vector<RecordedLayer> layers);

  store::RootFiles files_;
  std::uint64_t image_blocks_;
  std::vector<RecordedLayer> layers_;
};

}  // namespace bulkhead::images
