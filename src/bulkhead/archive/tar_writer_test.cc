#include "bulkhead/archive/tar_writer.h"

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::archive {
namespace {

class TarWriterTest : public ::testing::Test {
 protected:
  /// Ends the archive and reads its first member.
  const TarEntry* read() {
    EXPECT_THAT(writer_.finish(), IsOk());
    EXPECT_EQ(memory_.content().size() % 512, 0U);
    source_ = std::make_unique<BytesReader>(as_bytes(memory_.content()));
    auto reader = TarReader::create(*source_);
    EXPECT_THAT(reader, IsOk());
    reader_ = std::move(*reader);
    const auto entry = reader_->next();
    EXPECT_THAT(entry, IsOk());
    return *entry;
  }

  MemoryWriter memory_;
  TarWriter writer_{memory_};
  std::unique_ptr<BytesReader> source_;
  std::unique_ptr<TarReader> reader_;
};

TEST_F(TarWriterTest, KeepsEverythingOfAMember) {
  const std::string path = "d/" + std::string(200, 'n') + "/\xff";
  const std::string value("a\0=\n", 4);
  const TarEntry entry{.path = path,
                       .type = EntryType::File,
                       .permissions = 06755,
                       .uid = 4'000'000'000,
                       .gid = 3'000'000'000,
                       .size = 3,
                       .modified = {.seconds = -2, .nanoseconds = 0},
                       .accessed = EntryTime{.seconds = 1LL << 34U, .nanoseconds = 1},
                       .xattrs = {{.name = "user.x", .value = as_bytes(value)}}};
  ASSERT_THAT(writer_.add(entry), IsOk());
  ASSERT_THAT(writer_.write(as_bytes("abc")), IsOk());
  const TarEntry* back = read();
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->path, path);
  EXPECT_EQ(back->permissions, entry.permissions);
  EXPECT_EQ(back->uid, entry.uid);
  EXPECT_EQ(back->gid, entry.gid);
  EXPECT_EQ(back->size, 3U);
  EXPECT_EQ(back->modified, entry.modified);
  EXPECT_EQ(back->accessed, entry.accessed);
  ASSERT_EQ(back->xattrs.size(), 1U);
  EXPECT_EQ(back->xattrs[0].name, "user.x");
  EXPECT_EQ(as_text(back->xattrs[0].value), value);
}

TEST_F(TarWriterTest, WritesFractionsBeforeTheEpochAsPosixHasThem) {
  ASSERT_THAT(writer_.add({.path = "f", .modified = {.seconds = -2, .nanoseconds = 750'000'000}}),
              IsOk());
  ASSERT_THAT(writer_.finish(), IsOk());
  EXPECT_THAT(memory_.content(), ::testing::HasSubstr(" mtime=-1.250000000\n"));
}

TEST_F(TarWriterTest, KeepsHoles) {
  const std::array<DataRange, 2> data{
      {{.offset = 4096, .length = 3}, {.offset = 1 << 20, .length = 2}}};
  const TarEntry entry{.path = "sparse", .type = EntryType::File, .size = 10'000'000};
  ASSERT_THAT(writer_.add_sparse(entry, data), IsOk());
  ASSERT_THAT(writer_.write(as_bytes("abcde")), IsOk());
  const TarEntry* back = read();
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->path, "sparse");
  EXPECT_EQ(back->size, 10'000'000U);
  std::string content(10'000'000, '\0');
  for (;;) {
    const auto piece = reader_->next_data();
    ASSERT_THAT(piece, IsOk());
    if (!*piece) {
      break;
    }
    content.replace(static_cast<std::size_t>((*piece)->offset), (*piece)->data.size(),
                    as_text((*piece)->data));
  }
  EXPECT_EQ(content.substr(4096, 3), "abc");
  EXPECT_EQ(content.substr(1 << 20, 2), "de");
  EXPECT_EQ(content.find_first_not_of('\0', (1 << 20) + 2), std::string::npos);
  EXPECT_LT(memory_.content().size(), 10'000U);
}

TEST_F(TarWriterTest, WritesLinksDevicesAndTheRoot) {
  const std::string target(150, 't');
  ASSERT_THAT(writer_.add({.path = "", .type = EntryType::Directory, .permissions = 0700}), IsOk());
  ASSERT_THAT(writer_.add({.path = "s", .type = EntryType::Symlink, .link = target}), IsOk());
  ASSERT_THAT(writer_.add({.path = "n",
                           .type = EntryType::BlockDevice,
                           .device_major = 4095,
                           .device_minor = 1048575}),
              IsOk());
  const TarEntry* back = read();
  EXPECT_EQ(back->path, "");
  EXPECT_EQ(back->permissions, 0700);
  back = *reader_->next();
  EXPECT_EQ(back->link, target);
  back = *reader_->next();
  EXPECT_EQ(back->device_major, 4095U);
  EXPECT_EQ(back->device_minor, 1048575U);
  EXPECT_THAT(reader_->next(), IsOkAnd(nullptr));
}

TEST_F(TarWriterTest, RefusesContentOfAnotherLengthAndSockets) {
  EXPECT_THAT(writer_.add({.path = "s", .type = EntryType::Socket}),
              IsError(ErrorCode::Unsupported));
  ASSERT_THAT(writer_.add({.path = "f", .type = EntryType::File, .size = 2}), IsOk());
  EXPECT_THAT(writer_.write(as_bytes("abc")), IsError(ErrorCode::FailedPrecondition));
  ASSERT_THAT(writer_.write(as_bytes("a")), IsOk());
  EXPECT_THAT(writer_.add({.path = "g"}), IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(writer_.finish(), IsError(ErrorCode::FailedPrecondition));
}

}  // namespace
}  // namespace bulkhead::archive
