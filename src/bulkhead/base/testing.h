#pragma once

// Matchers for Result in tests: EXPECT_THAT(parse("x"), IsError(ErrorCode::Invalid)).

#include <string>

#include <gmock/gmock.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead {

// NOLINTBEGIN(readability-identifier-naming): named as gmock names its matchers

MATCHER(IsOk, negation ? "is an error" : "is ok") {
  if (!arg.has_value()) {
    *result_listener << "error " << std::string(to_string(arg.error().code())) << ": "
                     << arg.error().message();
  }
  return arg.has_value();
}

MATCHER_P(IsOkAnd, matcher, "is ok and its value matches") {
  if (!arg.has_value()) {
    *result_listener << "error " << std::string(to_string(arg.error().code())) << ": "
                     << arg.error().message();
    return false;
  }
  return ::testing::ExplainMatchResult(matcher, *arg, result_listener);
}

MATCHER_P(IsError, code, "is an error of code " + std::string(to_string(code))) {
  if (arg.has_value()) {
    *result_listener << "ok";
    return false;
  }
  *result_listener << std::string(to_string(arg.error().code())) << ": " << arg.error().message();
  return arg.error().code() == code;
}

// NOLINTEND(readability-identifier-naming)

}  // namespace bulkhead
