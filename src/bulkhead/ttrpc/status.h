#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"

namespace bulkhead::ttrpc {

/// The codes that travel in a response's status.
/// Source: grpc/doc/statuscodes.md.
enum class StatusCode : std::int32_t {
  Ok = 0,
  Cancelled = 1,
  Unknown = 2,
  InvalidArgument = 3,
  DeadlineExceeded = 4,
  NotFound = 5,
  AlreadyExists = 6,
  PermissionDenied = 7,
  ResourceExhausted = 8,
  FailedPrecondition = 9,
  Aborted = 10,
  OutOfRange = 11,
  Unimplemented = 12,
  Internal = 13,
  Unavailable = 14,
  DataLoss = 15,
  Unauthenticated = 16,
};

/// The one table between our codes and the wire's, and back. An unknown number becomes Remote.
StatusCode to_status_code(ErrorCode code);
ErrorCode from_status_code(std::int32_t code);

/// The error that a peer's status stands for: its text is cut at 1024 bytes and control characters
/// are escaped. `code` is not Ok.
Error error_from_status(std::int32_t code, std::string_view message);

/// Text of a stranger, made safe for one line of a log or terminal; UTF-8 stays, C0 and C1 control
/// characters become \xNN.
std::string printable(std::string_view text, std::size_t limit);

}  // namespace bulkhead::ttrpc
