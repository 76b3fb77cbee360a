#include "bulkhead/archive/stream.h"

#include <string>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/os/io.h"

namespace bulkhead::archive {
namespace {

TEST(BytesReader, HandsOutPiecesAndEnds) {
  BytesReader reader(as_bytes("hello"), 2);
  EXPECT_EQ(as_text(*reader.next()), "he");
  EXPECT_EQ(as_text(*reader.next()), "ll");
  EXPECT_EQ(as_text(*reader.next()), "o");
  EXPECT_TRUE(reader.next()->empty());
  EXPECT_TRUE(reader.next()->empty());
}

TEST(FdReader, ReadsAFile) {
  const auto file = os::make_memfd("test");
  ASSERT_THAT(file, IsOk());
  const std::string content(10'000, 'x');
  ASSERT_THAT(os::pwrite_all(file->get(), as_bytes(content), 0), IsOk());
  FdReader reader(file->get(), 4096);
  EXPECT_THAT(read_all(reader, 1U << 20U), IsOkAnd(content));
}

TEST(HashingReader, SeesEveryByte) {
  BytesReader source(as_bytes("hello"), 2);
  auto hasher = hash::Hasher::create();
  ASSERT_THAT(hasher, IsOk());
  HashingReader reader(source, *hasher);
  EXPECT_THAT(drain(reader), IsOkAnd(5U));
  EXPECT_EQ(reader.bytes_read(), 5U);
  EXPECT_EQ(hasher->finish(), *hash::digest_of(as_bytes("hello")));
}

TEST(ReadAll, StopsAtItsLimit) {
  BytesReader enough(as_bytes("hello"));
  EXPECT_THAT(read_all(enough, 5), IsOkAnd(std::string("hello")));
  BytesReader too_much(as_bytes("hello"), 1);
  EXPECT_THAT(read_all(too_much, 4), IsError(ErrorCode::ResourceExhausted));
}

TEST(Copy, FillsAWriterUpToItsLimit) {
  BytesReader reader(as_bytes("hello"), 2);
  MemoryWriter writer;
  EXPECT_THAT(copy(reader, writer), IsOkAnd(5U));
  EXPECT_EQ(writer.content(), "hello");
  BytesReader again(as_bytes("hello"), 2);
  MemoryWriter small(3);
  EXPECT_THAT(copy(again, small), IsError(ErrorCode::ResourceExhausted));
}

}  // namespace
}  // namespace bulkhead::archive
