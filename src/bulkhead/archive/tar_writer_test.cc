#include "bulkhead/archive/tar_writer.h"

#include <string>

#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::archive {
namespace {

TEST(TarWriter, WritesWhatTheReaderReads) {
  const std::string long_name = "blobs/sha512/" + std::string(128, 'a');
  MemoryWriter out;
  TarWriter tar(out);
  ASSERT_THAT(tar.directory("blobs"), IsOk());
  ASSERT_THAT(tar.file("empty", Bytes{}), IsOk());
  ASSERT_THAT(tar.file(long_name, as_bytes(std::string(513, 'x'))), IsOk());
  ASSERT_THAT(tar.finish(), IsOk());
  EXPECT_EQ(out.content().size() % 512, 0U);

  BytesReader source(as_bytes(out.content()));
  auto reader = TarReader::create(source);
  ASSERT_THAT(reader, IsOk());
  const auto directory = (*reader)->next();
  ASSERT_THAT(directory, IsOk());
  EXPECT_EQ((*directory)->path, "blobs");
  EXPECT_EQ((*directory)->type, EntryType::Directory);
  const auto empty = (*reader)->next();
  ASSERT_THAT(empty, IsOk());
  EXPECT_EQ((*empty)->path, "empty");
  EXPECT_EQ((*empty)->size, 0U);
  const auto file = (*reader)->next();
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->path, long_name);
  EXPECT_EQ((*file)->size, 513U);
  EXPECT_THAT((*reader)->next(), IsOkAnd(testing::IsNull()));
}

TEST(TarWriter, RefusesContentOfAnotherSize) {
  for (const std::string_view content : {"", "12", "1234"}) {
    MemoryWriter out;
    TarWriter tar(out);
    BytesReader source(as_bytes(content));
    EXPECT_THAT(tar.file("f", 3, source), IsError(ErrorCode::Corrupt));
  }
}

/// Takes the headers and throws the rest away.
class CountingWriter final : public Writer {
 public:
  Result<> write(Bytes data) override {
    if (beginning_.size() < 4096) {
      beginning_ += as_text(data);
    }
    return {};
  }

  std::string beginning_;
};

class ManyBytes final : public Reader {
 public:
  explicit ManyBytes(std::uint64_t size) : left_(size), piece_(std::size_t{64} << 20U) {}

  Result<Bytes> next() override {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece_.size()));
    left_ -= count;
    return Bytes(piece_).first(count);
  }

 private:
  std::uint64_t left_;
  std::vector<std::byte> piece_;
};

TEST(TarWriter, SaysSizesThatOctalDigitsCannot) {
  const std::uint64_t size = (std::uint64_t{8} << 30U) + 5;
  CountingWriter out;
  TarWriter tar(out);
  ManyBytes content(size);
  ASSERT_THAT(tar.file("f", size, content), IsOk());
  EXPECT_THAT(out.beginning_, testing::HasSubstr("19 size=8589934597\n"));
}

}  // namespace
}  // namespace bulkhead::archive
