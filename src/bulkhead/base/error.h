#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace bulkhead {

/// What kind of failure it is. Callers branch on this, never on the message.
enum class ErrorCode : std::uint8_t {
  NotFound,
  AlreadyExists,
  Invalid,      ///< the input is malformed or out of range
  Unsupported,  ///< well formed, but not something we do
  PermissionDenied,
  FailedPrecondition,  ///< the object is in the wrong state for this
  Unavailable,         ///< the peer is gone or refuses for the moment
  ResourceExhausted,   ///< a limit of ours or of the host is reached
  NoSpace,
  Timeout,
  Cancelled,
  Io,
  Corrupt,  ///< data that should have been right is not
  Remote,   ///< the peer answered with a failure of its own
  Internal,
};

/// The name of a code, as it is logged: "NotFound".
std::string_view to_string(ErrorCode code);

/// The code that fits an errno.
ErrorCode error_code_from_errno(int os_error);

/// A failure: a code, the errno if there was one, a message and where it arose.
/// A message is "operation object: cause", lower case, without a full stop.
class Error {
 public:
  Error(ErrorCode code, std::string message,
        std::source_location where = std::source_location::current())
      : code_(code), where_(where), message_(std::move(message)) {}

  /// "what: No such file or directory", from errno as it is now.
  static Error from_errno(std::string_view what,
                          std::source_location where = std::source_location::current());
  static Error from_errno(int os_error, std::string_view what,
                          std::source_location where = std::source_location::current());

  [[nodiscard]] ErrorCode code() const { return code_; }

  /// 0 when no system call was involved.
  [[nodiscard]] int os_error() const { return os_error_; }

  [[nodiscard]] const std::string& message() const { return message_; }

  [[nodiscard]] const std::source_location& where() const { return where_; }

  /// The same error with "outer: " before its message.
  [[nodiscard]] Error context(std::string_view outer) &&;

  /// The same error with the name of what it is about, quoted, before its message.
  [[nodiscard]] Error about(std::string_view name) &&;

 private:
  ErrorCode code_;
  int os_error_ = 0;
  std::source_location where_;
  std::string message_;
};

/// Builds a message in place: `return fail(ErrorCode::NotFound, "image {}: not found", name);`
/// The location is this header's; use Error directly where the line matters.
template <class... Args>
[[nodiscard]] Error fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return {code, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace bulkhead
