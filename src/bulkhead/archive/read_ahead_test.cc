#include "bulkhead/archive/read_ahead.h"

#include <cstddef>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/io.h"

namespace bulkhead::archive {
namespace {

using ::testing::HasSubstr;

class FailingReader final : public Reader {
 public:
  Result<Bytes> next() override {
    if (pieces_++ == 3) {
      return fail(ErrorCode::Io, "torn");
    }
    return as_bytes("piece");
  }

 private:
  int pieces_ = 0;
};

TEST(ReadAhead, GivesTheSameStream) {
  std::string sent;
  for (int i = 0; i < 500'000; ++i) {
    sent += std::to_string(i);
  }
  BytesReader source(as_bytes(sent), 1021);
  ReadAhead ahead(source);
  const auto received = read_all(ahead, sent.size());
  ASSERT_THAT(received, IsOk());
  EXPECT_TRUE(*received == sent);
  EXPECT_THAT(read_all(ahead, 0), IsOkAnd(std::string()));
}

TEST(ReadAhead, GivesTheErrorBehindWhatCameBeforeIt) {
  FailingReader source;
  ReadAhead ahead(source);
  for (int i = 0; i < 3; ++i) {
    const auto piece = ahead.next();
    ASSERT_THAT(piece, IsOk());
    EXPECT_EQ(as_text(*piece), "piece");
  }
  const auto end = ahead.next();
  ASSERT_THAT(end, IsError(ErrorCode::Io));
  EXPECT_THAT(end.error().message(), HasSubstr("torn"));
}

TEST(ReadAhead, EndsWhileTheSourceHasMoreThanFits) {
  const std::string much(std::size_t{8} << 20U, 'x');
  BytesReader source(as_bytes(much), 100'000);
  ReadAhead ahead(source);
  EXPECT_THAT(ahead.next(), IsOk());
}

TEST(ReadAhead, EndsWhileTheSourceWaits) {
  const os::Pipe silent = os::make_pipe().value();
  const auto source = InterruptibleReader::create(silent.read_end.get());
  ASSERT_THAT(source, IsOk());
  const ReadAhead ahead(**source, [&] { (*source)->interrupt(); });
}

TEST(InterruptibleReader, ReadsAPipeToItsEndAndAFile) {
  os::Pipe pipe = os::make_pipe().value();
  ASSERT_THAT(os::write_all(pipe.write_end.get(), as_bytes("content")), IsOk());
  pipe.write_end.reset();
  const auto from_pipe = InterruptibleReader::create(pipe.read_end.get());
  ASSERT_THAT(from_pipe, IsOk());
  EXPECT_THAT(read_all(**from_pipe, 100), IsOkAnd(std::string("content")));

  const os::UniqueFd file = os::make_memfd("content").value();
  ASSERT_THAT(os::pwrite_all(file.get(), as_bytes("content"), 0), IsOk());
  const auto from_file = InterruptibleReader::create(file.get());
  ASSERT_THAT(from_file, IsOk());
  EXPECT_THAT(read_all(**from_file, 100), IsOkAnd(std::string("content")));
}

TEST(InterruptibleReader, IsCancelledForGood) {
  const os::Pipe silent = os::make_pipe().value();
  const auto reader = InterruptibleReader::create(silent.read_end.get());
  ASSERT_THAT(reader, IsOk());
  (*reader)->interrupt();
  (*reader)->interrupt();
  EXPECT_THAT((*reader)->next(), IsError(ErrorCode::Cancelled));
  EXPECT_THAT((*reader)->next(), IsError(ErrorCode::Cancelled));
}

}  // namespace
}  // namespace bulkhead::archive
