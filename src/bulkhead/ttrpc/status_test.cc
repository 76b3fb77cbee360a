#include "bulkhead/ttrpc/status.h"

#include <cstdint>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"

namespace bulkhead::ttrpc {
namespace {

TEST(Status, CodesThatCallersBranchOnSurviveTheWayThereAndBack) {
  for (const ErrorCode code :
       {ErrorCode::NotFound, ErrorCode::AlreadyExists, ErrorCode::Invalid, ErrorCode::Unsupported,
        ErrorCode::PermissionDenied, ErrorCode::FailedPrecondition, ErrorCode::Unavailable,
        ErrorCode::ResourceExhausted, ErrorCode::Timeout, ErrorCode::Cancelled, ErrorCode::Corrupt,
        ErrorCode::Remote, ErrorCode::Internal}) {
    EXPECT_EQ(from_status_code(std::to_underlying(to_status_code(code))), code) << to_string(code);
  }
  EXPECT_EQ(to_status_code(ErrorCode::NoSpace), StatusCode::ResourceExhausted);
  EXPECT_EQ(to_status_code(ErrorCode::Io), StatusCode::Internal);
  EXPECT_EQ(std::to_underlying(to_status_code(ErrorCode::NotFound)), 5);
  EXPECT_EQ(std::to_underlying(to_status_code(ErrorCode::Unsupported)), 12);
  EXPECT_EQ(std::to_underlying(to_status_code(ErrorCode::Unavailable)), 14);
}

TEST(Status, UnknownCodesAreRemote) {
  for (const std::int32_t code : {-1, 17, 2147483647}) {
    EXPECT_EQ(from_status_code(code), ErrorCode::Remote);
  }
}

TEST(Status, RemoteTextCannotForgeLinesOrMoveTheCursor) {
  const Error error = error_from_status(
      2, "a\nlevel: forged\x1b[2J\x7f\xc2\x9b\xe2\x80\xae café\xe2\x80\xac \xff\xc0\x80");
  EXPECT_EQ(error.message(),
            "a\\x0alevel: forged\\x1b[2J\\x7f\\xc2\\x9b\\xe2\\x80\\xae café\\xe2\\x80\\xac "
            "\\xff\\xc0\\x80");
}

TEST(Status, RemoteTextIsCut) {
  EXPECT_LT(error_from_status(2, std::string(10 << 20, 'x')).message().size(), 1100U);
  EXPECT_LT(error_from_status(2, std::string(10 << 20, '\n')).message().size(), 1100U);
}

}  // namespace
}  // namespace bulkhead::ttrpc
