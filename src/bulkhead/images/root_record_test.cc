#include "bulkhead/images/root_record.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kTableEntryBytes = 168;

os::UniqueFd file_with(const std::string& content) {
  auto file = os::make_memfd("test");
  EXPECT_THAT(file, IsOk());
  EXPECT_THAT(os::pwrite_all(file->get(), as_bytes(content), 0), IsOk());
  return *std::move(file);
}

/// The two files of a root of two layers.
struct MadeRoot {
  explicit MadeRoot(const std::string& text = "content") {
    auto maker = RootMaker::create({.image = file_with(""), .record = file_with("")});
    EXPECT_THAT(maker, IsOk());
    for (const char* name : {"first", "second"}) {
      const std::string tar = archive::TarBuilder().file(name, text).finished();
      archive::BytesReader reader(as_bytes(tar));
      EXPECT_THAT(maker->apply(reader), IsOk());
      EXPECT_THAT(maker->end_layer(sha256(name), tar.size()), IsOk());
    }
    EXPECT_THAT(maker->finish(), IsOk());
    image = os::read_to_end(maker->files().image.get(), 1U << 24U).value();
    record = os::read_to_end(maker->files().record.get(), 1U << 24U).value();
  }

  [[nodiscard]] Result<RootRecord> open() const { return open_with(image, record); }

  static Result<RootRecord> open_with(const std::string& image, const std::string& record) {
    return RootRecord::open({.image = file_with(image), .record = file_with(record)});
  }

  std::string image;
  std::string record;
};

/// Replays a layer into a root of its own.
Result<> replay(RootRecord record, const std::string& name) {
  const auto layer = record.find(sha256(name));
  if (!layer) {
    return fail(ErrorCode::NotFound, "no such layer");
  }
  auto maker = BH_TRY(RootMaker::create({.image = file_with(""), .record = file_with("")}));
  BH_TRY(maker.replay(
      {.root = std::make_shared<const RootRecord>(std::move(record)), .layer = *layer}));
  return maker.finish();
}

template <class T>
void put(std::string& bytes, std::size_t at, T value) {
  const auto view = object_bytes(value);
  bytes.replace(at, view.size(), as_text(view));
}

/// With the checksums of header and table as they should be.
std::string summed(std::string record) {
  std::uint64_t table = 0;
  std::memcpy(&table, record.data() + 40, sizeof table);
  const Bytes bytes = as_bytes(record);
  if (table <= bytes.size()) {
    const std::uint32_t sum =
        ext4::crc32c(ext4::kChecksumStart, bytes.subspan(static_cast<std::size_t>(table)));
    put(record, 52, le32(sum));
  }
  put(record, 60, le32(ext4::crc32c(ext4::kChecksumStart, as_bytes(record).first(60))));
  return record;
}

TEST(RootRecord, KnowsItsLayers) {
  const MadeRoot root;
  const auto record = root.open();
  ASSERT_THAT(record, IsOk());
  const auto second = record->find(sha256("second"));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->tar_bytes, 2048U);
  EXPECT_FALSE(record->find(sha256("third")).has_value());
  EXPECT_EQ(summed(root.record), root.record);
  EXPECT_THAT(replay(*root.open(), "first"), IsOk());
  EXPECT_THAT(replay(*root.open(), "second"), IsOk());
}

TEST(RootRecord, RefusesATornFile) {
  const MadeRoot root;
  for (std::size_t size = 0; size < root.record.size(); ++size) {
    EXPECT_THAT(MadeRoot::open_with(root.image, root.record.substr(0, size)),
                IsError(ErrorCode::Corrupt))
        << size;
  }
}

TEST(RootRecord, FindsEveryChangedByte) {
  const MadeRoot root;
  for (std::size_t at = 0; at < root.record.size(); ++at) {
    std::string changed = root.record;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    auto record = MadeRoot::open_with(root.image, changed);
    if (record) {
      // One in the entries is found when they are used.
      auto again = MadeRoot::open_with(root.image, changed);
      const bool is_found = !replay(*std::move(record), "first").has_value() ||
                            !replay(*std::move(again), "second").has_value();
      EXPECT_TRUE(is_found) << at;
      EXPECT_LT(at, root.record.size() - 2 * kTableEntryBytes);
      EXPECT_GE(at, kHeaderBytes);
    }
  }
}

TEST(RootRecord, RefusesAnotherRoot) {
  const MadeRoot root;
  const MadeRoot other("other content");
  EXPECT_THAT(MadeRoot::open_with(other.image, root.record), IsError(ErrorCode::Corrupt));
  // A hole after it is no harm; an end before it is.
  EXPECT_THAT(MadeRoot::open_with(root.image + std::string(4096, '\0'), root.record), IsOk());
  const std::string cut = root.image.substr(0, root.image.size() - 1);
  EXPECT_THAT(MadeRoot::open_with(cut, root.record), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(MadeRoot::open_with("", root.record), IsError(ErrorCode::Corrupt));
}

TEST(RootRecord, RefusesAnotherVersion) {
  const MadeRoot root;
  for (const std::size_t at : {8U, 12U}) {  // version, block size
    std::string changed = root.record;
    put(changed, at, le32(2U));
    EXPECT_THAT(MadeRoot::open_with(root.image, summed(changed)), IsError(ErrorCode::Unsupported));
  }
}

TEST(RootRecord, RefusesATableThatLies) {
  const MadeRoot root;
  const std::size_t table = root.record.size() - 2 * kTableEntryBytes;
  const auto lie = [&](std::size_t at, auto value) {
    std::string changed = root.record;
    put(changed, at, value);
    return MadeRoot::open_with(root.image, summed(changed));
  };
  EXPECT_THAT(lie(48, le32(UINT32_MAX)), IsError(ErrorCode::Corrupt));   // layers
  EXPECT_THAT(lie(48, le32(3U)), IsError(ErrorCode::Corrupt));           //
  EXPECT_THAT(lie(40, le64(UINT64_MAX)), IsError(ErrorCode::Corrupt));   // where the table is
  EXPECT_THAT(lie(table, le64(0U)), IsError(ErrorCode::Corrupt));        // a diff id
  EXPECT_THAT(lie(table + 144, le64(0U)), IsError(ErrorCode::Corrupt));  // an offset
  EXPECT_THAT(lie(table + 144, le64(UINT64_MAX)), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(lie(table + 152, le64(UINT64_MAX)), IsError(ErrorCode::Corrupt));  // a length
  EXPECT_THAT(lie(table + 152, le64(table)), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::images
