#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_entry.h"

// What was done to apply a layer to an image, and where in that image the contents of its files
// lie: with it, and the image, the layer is applied to another image without its tar. The encoding
// is in docs/formats/store.md.

namespace bulkhead::ext4 {

/// Writes the record of one layer while it is applied to a formatter that keeps what is replaced.
class LayerRecorder {
 public:
  /// `out` is borrowed.
  explicit LayerRecorder(archive::Writer& out) : out_(out) {}

  /// Errors: those of the writer; ResourceExhausted for an entry that no reader would take.
  Result<> add(const LayerEntry& entry);

  /// Where the content of the file lies that was added last: Formatter::content().
  Result<> add_content(std::span<const Extent> extents);

 private:
  void put(std::uint64_t value);
  void put_text(std::string_view text);
  void put_time(const Timestamp& time);
  Result<> write();

  archive::Writer& out_;
  std::string encoded_;
  std::string path_;              ///< of the entry before
  std::uint64_t next_block_ = 0;  ///< behind the last content
};

/// Reads one. Nothing that it says is believed: what is wrong is Corrupt.
class LayerRecordReader {
 public:
  /// `source` is borrowed. `image_blocks`: what the image has.
  LayerRecordReader(archive::Reader& source, std::uint64_t image_blocks)
      : source_(source), image_blocks_(image_blocks) {}

  /// The next entry, or nullptr after the last, when the source has ended. Valid until the next
  /// call of any kind. All content of a file must have been read. Errors: Corrupt, and those of the
  /// source.
  Result<const LayerEntry*> next();

  /// Blocks of the present file, and the hole before them.
  struct Content {
    std::uint64_t hole = 0;    ///< bytes
    std::uint64_t offset = 0;  ///< in the image
    std::uint64_t length = 0;  ///< bytes; less than whole blocks only at the file's end
  };

  /// Nothing after the last; what is missing of the file's size is a hole. No block of the image
  /// comes twice in a record. Errors: as next().
  Result<std::optional<Content>> next_content();

 private:
  class Fields;

  Result<std::optional<Bytes>> peek();
  Result<std::size_t> fill(std::size_t size);
  void read_path(Fields& fields);
  void read_attributes(Fields& fields, bool has_accessed);
  void read_xattrs(Fields& fields);

  archive::Reader& source_;
  std::uint64_t image_blocks_;
  std::vector<std::byte> buffer_;
  std::size_t position_ = 0;  ///< of what was not read yet in buffer_
  std::size_t frame_ = 0;     ///< bytes of the frame that peek() found
  LayerEntry entry_;
  std::string path_;
  std::vector<Xattr> xattrs_;
  std::uint64_t next_block_ = 0;  ///< of the image
  std::uint64_t file_block_ = 0;  ///< of the present file, behind its last content
};

/// Applies a recorded layer to an image that is being made. `image`: the file of the image that it
/// was recorded with. `recorder` records it for the new one. After an error the new image is not
/// usable. Errors: those of the record and of Formatter.
Result<> replay_layer(Formatter& formatter, LayerRecordReader& record, int image,
                      LayerRecorder& recorder);

}  // namespace bulkhead::ext4
