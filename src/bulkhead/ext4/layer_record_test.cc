#include "bulkhead/ext4/layer_record.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/layer_entry.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ext4 {
namespace {

using archive::TarBuilder;

constexpr std::uint64_t kImageBlocks = 1000;

/// An image in memory, in which layers are applied and recorded.
class RecordedImage {
 public:
  RecordedImage()
      : file_(os::make_memfd("image").value()),
        formatter_(Formatter::create(file_.get(), {.keep_replaced = true}).value()) {}

  void apply(const std::string& tar) {
    archive::BytesReader reader(as_bytes(tar), 10'000);
    archive::MemoryWriter record;
    LayerRecorder recorder(record);
    EXPECT_THAT(apply_layer(formatter_, reader, {.recorder = &recorder}), IsOk());
    records_.push_back(record.content());
  }

  Result<> replay(const RecordedImage& from, std::size_t layer) {
    archive::BytesReader reader(as_bytes(from.records_.at(layer)), 100);
    LayerRecordReader record(reader, from.blocks_);
    archive::MemoryWriter own_record;
    LayerRecorder recorder(own_record);
    BH_TRY(replay_layer(formatter_, record, from.file_.get(), recorder));
    records_.push_back(own_record.content());
    return {};
  }

  void finish() {
    const auto result = std::move(formatter_).finish();
    ASSERT_THAT(result, IsOk());
    blocks_ = result->size_bytes / 4096;
  }

  [[nodiscard]] std::string bytes() const {
    std::string bytes(blocks_ * 4096, '\0');
    EXPECT_THAT(os::pread_exactly(file_.get(), std::as_writable_bytes(std::span(bytes)), 0),
                IsOk());
    return bytes;
  }

  [[nodiscard]] const std::vector<std::string>& records() const { return records_; }

 private:
  os::UniqueFd file_;
  Formatter formatter_;
  std::vector<std::string> records_;
  std::uint64_t blocks_ = 0;
};

/// Every kind of entry, sparse and empty files, long names and targets, attributes.
std::string kinds() {
  const std::string hole(std::size_t{3} * 4096, '\0');
  return TarBuilder()
      .directory("./", 01755)
      .directory("usr/bin")
      .file("usr/bin/a", std::string(10'000, 'a'))
      .file("usr/bin/ab", "")
      .file("usr/whole", std::string(8192, 'w'))
      .file("sparse", hole + std::string(4096, 'x') + hole + "end")
      .file("tail", std::string(4096, 'x') + hole)
      .file("zeros", hole)
      .symlink("short", "usr/bin/a")
      .symlink("long", std::string(200, 'l'))
      .hard_link("hard", "usr/bin/a")
      .add({.name = "null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3})
      .add({.name = "disk", .type = '4', .device_major = 300, .device_minor = 70'000})
      .add({.name = "fifo", .type = '6'})
      .add({.name = "old", .mtime = -5})
      .add({.name = "attributes",
            .content = "x",
            .mode = 04711,
            .uid = 4'294'967'294,
            .gid = 7,
            .pax = {{"SCHILY.xattr.user.a", std::string("\0\1\2", 3)},
                    {"SCHILY.xattr.user.empty", ""},
                    {"atime", "1234.5"},
                    {"mtime", "99.000000001"}}})
      .file(std::string(250, 'n') + "/" + std::string(255, 'm'), "deep")
      .finished();
}

/// Replaces and removes what kinds() made.
std::string changes() {
  return TarBuilder()
      .file("usr/bin/a", std::string(20'000, 'b'))
      .file("usr/.wh.whole", "")
      .file("tail", "now short")
      .directory("d")
      .file("d/new", "n")
      .file("d/.wh..wh..opq", "")
      .hard_link("again", "sparse")
      .file("d/last", std::string(5000, 'z'))
      .finished();
}

TEST(LayerRecord, ReplaysToTheSameImage) {
  RecordedImage inflated;
  inflated.apply(kinds());
  inflated.apply(changes());
  inflated.finish();
  RecordedImage replayed;
  EXPECT_THAT(replayed.replay(inflated, 0), IsOk());
  EXPECT_THAT(replayed.replay(inflated, 1), IsOk());
  replayed.finish();
  EXPECT_TRUE(replayed.bytes() == inflated.bytes());
  EXPECT_EQ(replayed.records(), inflated.records());
}

TEST(LayerRecord, ReplaysALayerOnOthers) {
  const std::string other =
      TarBuilder().directory("d").file("d/gone", "x").symlink("usr", "elsewhere").finished();
  RecordedImage source;
  source.apply(kinds());
  source.apply(changes());
  source.finish();
  RecordedImage inflated;
  inflated.apply(other);
  inflated.apply(kinds());
  inflated.apply(other);
  inflated.apply(changes());
  inflated.finish();
  // Of another replayed image, in turn.
  RecordedImage replayed;
  replayed.apply(other);
  EXPECT_THAT(replayed.replay(source, 0), IsOk());
  replayed.apply(other);
  EXPECT_THAT(replayed.replay(source, 1), IsOk());
  replayed.finish();
  EXPECT_TRUE(replayed.bytes() == inflated.bytes());
  EXPECT_EQ(replayed.records(), inflated.records());
}

TEST(LayerRecord, RepeatsTheErrorsOfWhatDoesNotFit) {
  RecordedImage source;
  source.apply(TarBuilder().file("d/x", "").finished());
  source.finish();
  RecordedImage other;
  other.apply(TarBuilder().file("d", "").finished());
  EXPECT_THAT(other.replay(source, 0), IsError(ErrorCode::Invalid));
}

// --- records that lie
// -----------------------------------------------------------------------------

std::string number(std::uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7U) {
    text += static_cast<char>(0x80U | (value & 0x7fU));
  }
  return text + static_cast<char>(value);
}

std::string frame(const std::string& body) { return number(body.size()) + body; }

/// Kind, path, mode, owner, time, and then the rest.
std::string entry(char tag, std::string_view path, const std::string& rest) {
  return frame(tag + number(0) + number(path.size()) + std::string(path) + number(0644) +
               number(0) + number(0) + number(0) + number(0) + rest);
}

std::string file(std::uint64_t size) { return entry(1, "f", number(size)); }

std::string content(std::uint64_t hole, std::uint64_t gap, std::uint64_t count) {
  return frame("\x1f" + number(hole) + number(gap) + number(count));
}

/// Reads a record to its end, in small pieces.
Result<> read(const std::string& text) {
  archive::BytesReader source(as_bytes(text), 3);
  LayerRecordReader record(source, kImageBlocks);
  while (const LayerEntry* entry = BH_TRY(record.next())) {
    if (entry->action == LayerAction::File) {
      while (BH_TRY(record.next_content())) {
      }
    }
  }
  return {};
}

TEST(LayerRecord, ReadsWhatIsWellFormed) {
  EXPECT_THAT(read(""), IsOk());
  EXPECT_THAT(read(file(4097) + content(0, 10, 1) + content(0, 900, 1)), IsOk());
  EXPECT_THAT(read(file(4096) + content(0, 999, 1)), IsOk());
  EXPECT_THAT(read(file(UINT64_MAX) + content((std::uint64_t{1} << 52U) - 1, 0, 1)), IsOk());
  EXPECT_THAT(read(entry(3, "link", number(1) + "x")), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(read(frame("\x03" + number(0) + number(1) + "l" + number(1) + "x" + number(0777) +
                         number(0) + number(0) + number(0) + number(0))),
              IsOk());
}

TEST(LayerRecord, RefusesContentOutsideOfFileOrImage) {
  for (const std::string& lie : {
           content(0, 10, 1),                                    // of no file
           file(0) + content(0, 10, 1),                          // of an empty one
           file(4096) + content(0, 10, 2),                       // more than the file
           file(4096) + content(1, 10, 1),                       // behind it
           file(4096) + content(UINT64_MAX, 10, 1),              //
           file(4096) + content(0, 1000, 1),                     // behind the image
           file(4096) + content(0, UINT64_MAX, 1),               //
           file(8192) + content(0, 999, 2),                      // beyond its end
           file(1U << 30U) + content(0, 0, UINT64_MAX),          //
           file(4096) + content(0, 10, 0),                       // nothing
           file(8192) + content(0, 600, 1) + content(0, 600, 1)  // beyond the end in two steps
       }) {
    EXPECT_THAT(read(lie), IsError(ErrorCode::Corrupt)) << to_hex(as_bytes(lie));
  }
}

TEST(LayerRecord, RefusesWhatIsMalformed) {
  const std::string good = file(0);
  for (std::size_t size = 1; size < good.size(); ++size) {
    EXPECT_THAT(read(good.substr(0, size)), IsError(ErrorCode::Corrupt)) << size;
  }
  const std::string path_only = number(0) + number(1) + "p";
  for (const std::string& lie : {
           std::string(1, '\0'),                                   // a frame of nothing
           number(256U << 10U) + "x",                              // one that ends early
           number((256U << 10U) + 1) + std::string(300'000, 'x'),  // too large
           std::string(11, '\xff'),                                // a number without end
           frame(std::string(1, '\0') + path_only),                // kinds there are none of
           frame("\x0b" + path_only),                              //
           frame(")" + path_only),                                 // a whiteout with attributes
           frame("\x81" + path_only),                              // an unknown flag
           frame("\x09" + path_only + "x"),                        // something behind it
           frame("\x09" + number(1) + number(0)),                  // shared with nothing before
           frame("\x09" + number(0) + number(5000) + std::string(5000, 'p')),
           frame("\x09" + number(0) + number(3) + std::string("a\0b", 3)),
           frame("\x09" + number(0) + std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")),
           entry(1, "f", ""),                          // no size
           entry(0x41, "f", number(0) + number(100)),  // attributes that are not there
           entry(0x41, "f", number(0) + number(1) + number(1) + "a" + number(9)),
       }) {
    EXPECT_THAT(read(lie), IsError(ErrorCode::Corrupt)) << to_hex(as_bytes(lie.substr(0, 40)));
  }
}

TEST(LayerRecord, LeavesPathsToTheFormatter) {
  const std::string escape = entry(2, "../../etc", "");
  archive::BytesReader source(as_bytes(escape));
  LayerRecordReader record(source, kImageBlocks);
  MemoryDevice device;
  auto formatter = Formatter::create(device, {.keep_replaced = true});
  ASSERT_THAT(formatter, IsOk());
  archive::MemoryWriter out;
  LayerRecorder recorder(out);
  ASSERT_THAT(replay_layer(*formatter, record, -1, recorder), IsOk());
  EXPECT_TRUE(formatter->exists("etc"));
  EXPECT_THAT(std::move(*formatter).finish(), IsOk());
}

TEST(LayerRecord, HoldsAFewBytesForAnEntry) {
  RecordedImage image;
  TarBuilder tar;
  for (int i = 0; i < 1000; ++i) {
    tar.file("usr/share/doc/package/file" + std::to_string(i), "content");
  }
  image.apply(tar.finished());
  image.finish();
  EXPECT_LT(image.records().front().size(), 1000U * 30);
}

}  // namespace
}  // namespace bulkhead::ext4
