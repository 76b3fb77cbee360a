#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/base/text.h"

namespace bulkhead {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kHex64 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

Result<int> half(int number) {
  if (number % 2 != 0) {
    return fail(ErrorCode::Invalid, "half of {}: odd", number);
  }
  return number / 2;
}

Result<int> quarter(int number) { return BH_TRY(half(BH_TRY(half(number)))); }

TEST(Result, TryNestsAndPropagates) {
  EXPECT_THAT(quarter(12), IsOkAnd(3));
  EXPECT_THAT(quarter(6), IsError(ErrorCode::Invalid));
}

TEST(Result, ContextPrefixesMessage) {
  const auto result = half(3).context("quarter");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "quarter: half of 3: odd");
}

TEST(Result, AboutPrefixesMessageWithTheQuotedName) {
  const auto result = half(3).about("a\nb");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "\"a\\x0ab\": half of 3: odd");
}

TEST(Error, FromErrnoNamesTheCause) {
  const Error error = Error::from_errno(ENOSPC, "write /x");
  EXPECT_EQ(error.code(), ErrorCode::NoSpace);
  EXPECT_EQ(error.os_error(), ENOSPC);
  EXPECT_THAT(error.message(), HasSubstr("write /x: No space left"));
}

TEST(Digest, ParsesOnlyTheStrictForm) {
  const std::string good = "sha256:" + std::string(kHex64);
  const auto digest = Digest::parse(good);
  ASSERT_THAT(digest, IsOk());
  EXPECT_EQ(digest->text(), good);
  EXPECT_THAT(Digest::parse(std::string(kHex64)), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Digest::parse("md5:d41d8cd98f00b204e9800998ecf8427e"),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(Digest::parse("sha256:../../etc/passwd"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Digest::parse(good.substr(0, good.size() - 1)), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Digest::parse(good + "0"), IsError(ErrorCode::Invalid));
  std::string upper = good;
  upper[7] = 'E';
  EXPECT_THAT(Digest::parse(upper), IsError(ErrorCode::Invalid));
  EXPECT_THAT(Digest::parse("sha512:" + std::string(kHex64) + std::string(kHex64)), IsOk());
  EXPECT_THAT(Digest::parse(""), IsError(ErrorCode::Invalid));
}

TEST(Endian, HasTheByteOrderItNames) {
  const le32 little = 0x01020304U;
  const be16 big = std::uint16_t{0x0102};
  EXPECT_EQ(to_hex(object_bytes(little)), "04030201");
  EXPECT_EQ(to_hex(object_bytes(big)), "0102");
  EXPECT_EQ(static_cast<std::uint32_t>(little), 0x01020304U);
}

TEST(Name, RejectsWhatCouldLeaveADirectory) {
  EXPECT_THAT(validate_name("container", "web-1.a_B"), IsOk());
  for (const std::string_view bad :
       {"", ".", "..", "../x", "a/b", "-x", "a b", "a\n", "\xc3\xa4"}) {
    EXPECT_THAT(validate_name("container", bad), IsError(ErrorCode::Invalid)) << bad;
  }
  EXPECT_THAT(validate_name("container", std::string(129, 'a')), IsError(ErrorCode::Invalid));
}

TEST(Name, IdsAre64HexDigits) {
  const auto id = make_id();
  ASSERT_THAT(id, IsOk());
  EXPECT_EQ(id->size(), 64U);
  EXPECT_TRUE(is_id_prefix(*id));
  EXPECT_FALSE(is_id_prefix("xyz"));
}

TEST(Text, QuoteEscapesControlCharacters) {
  EXPECT_EQ(quote("a\x1b[2J\"b"), "\"a\\x1b[2J\\\"b\"");
  EXPECT_LT(quote(std::string(10000, 'x')).size(), 200U);
}

TEST(Text, SplitKeepsEmptyPieces) {
  EXPECT_THAT(split("a,,b", ','), ElementsAre("a", "", "b"));
  EXPECT_THAT(split("", ','), ElementsAre(""));
}

TEST(Text, TrimmedTakesOffBothEnds) {
  EXPECT_EQ(trimmed(" \ta b\r\n", " \t\r\n"), "a b");
  EXPECT_EQ(trimmed("a\n", " "), "a\n");
  EXPECT_EQ(trimmed(" \t ", " \t"), "");
  EXPECT_EQ(trimmed("", " "), "");
}

TEST(Text, ParseSizeKnowsUnits) {
  EXPECT_THAT(parse_size("512"), IsOkAnd(512U));
  EXPECT_THAT(parse_size("64m"), IsOkAnd(64U << 20U));
  EXPECT_THAT(parse_size("1GiB"), IsOkAnd(1U << 30U));
  EXPECT_THAT(parse_size("1.5g"), IsOkAnd(3U << 29U));
  for (const std::string_view bad : {"", "m", "-1", "1x", "1 m", "nan", "inf", "1e300", "0x10"}) {
    EXPECT_THAT(parse_size(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(Text, ParseDecimalIsStrict) {
  EXPECT_EQ(parse_decimal<int>("42"), 42);
  EXPECT_FALSE(parse_decimal<int>("+42"));
  EXPECT_FALSE(parse_decimal<unsigned>("-1"));
  EXPECT_FALSE(parse_decimal<std::uint32_t>("4294967296"));
  EXPECT_FALSE(parse_decimal<int>("4 "));
}

TEST(Clock, Rfc3339RoundTrips) {
  const auto time = parse_rfc3339("2026-01-02T03:04:05.678901234Z");
  ASSERT_THAT(time, IsOk());
  EXPECT_EQ(format_rfc3339(*time), "2026-01-02T03:04:05.678901234Z");
  EXPECT_THAT(parse_rfc3339("2026-01-02T05:04:05.678901234+02:00"), IsOkAnd(*time));
  for (const std::string_view bad :
       {"", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "9999-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z"}) {
    EXPECT_THAT(parse_rfc3339(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(Clock, DurationsReadLikeDockers) {
  EXPECT_EQ(format_duration(std::chrono::seconds(1)), "1 second");
  EXPECT_EQ(format_duration(std::chrono::seconds(125)), "2 minutes");
  EXPECT_EQ(format_duration(std::chrono::seconds(90000)), "1 day");
}

TEST(Table, AlignsColumnsByCharacters) {
  Table table({"ID", "NAME"});
  table.add({"1", "\xc3\xa4"});
  table.add({"1234", ""});
  EXPECT_EQ(table.text(), "ID     NAME\n1      \xc3\xa4\n1234   \n");
}

}  // namespace
}  // namespace bulkhead
