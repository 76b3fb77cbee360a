#include "bulkhead/base/error.h"

#include <cerrno>
#include <cstring>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/text.h"

namespace bulkhead {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::NotFound:
      return "NotFound";
    case ErrorCode::AlreadyExists:
      return "AlreadyExists";
    case ErrorCode::Invalid:
      return "Invalid";
    case ErrorCode::Unsupported:
      return "Unsupported";
    case ErrorCode::PermissionDenied:
      return "PermissionDenied";
    case ErrorCode::FailedPrecondition:
      return "FailedPrecondition";
    case ErrorCode::Unavailable:
      return "Unavailable";
    case ErrorCode::ResourceExhausted:
      return "ResourceExhausted";
    case ErrorCode::NoSpace:
      return "NoSpace";
    case ErrorCode::Timeout:
      return "Timeout";
    case ErrorCode::Cancelled:
      return "Cancelled";
    case ErrorCode::Io:
      return "Io";
    case ErrorCode::Corrupt:
      return "Corrupt";
    case ErrorCode::Remote:
      return "Remote";
    case ErrorCode::Internal:
      return "Internal";
  }
  return "Internal";
}

ErrorCode error_code_from_errno(int os_error) {
  switch (os_error) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return ErrorCode::NotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::AlreadyExists;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case E2BIG:
      return ErrorCode::Invalid;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return ErrorCode::Unsupported;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::PermissionDenied;
    case EBUSY:
    case ETXTBSY:
      return ErrorCode::FailedPrecondition;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EAGAIN:
    case ENOTCONN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorCode::Unavailable;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
      return ErrorCode::ResourceExhausted;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::NoSpace;
    case ETIMEDOUT:
      return ErrorCode::Timeout;
    case ECANCELED:
      return ErrorCode::Cancelled;
    default:
      return ErrorCode::Io;
  }
}

Error Error::from_errno(std::string_view what, std::source_location where) {
  return from_errno(errno, what, where);
}

Error Error::from_errno(int os_error, std::string_view what, std::source_location where) {
  // NOLINTNEXTLINE(misc-include-cleaner): a GNU extension of <cstring>
  const char* description = ::strerrordesc_np(os_error);
  std::string message(what);
  message += ": ";
  message += description == nullptr ? "unknown error" : description;
  Error error(error_code_from_errno(os_error), std::move(message), where);
  error.os_error_ = os_error;
  return error;
}

Error Error::context(std::string_view outer) && {
  std::string message(outer);
  message += ": ";
  message += message_;
  message_ = std::move(message);
  return std::move(*this);
}

Error Error::about(std::string_view name) && { return std::move(*this).context(quote(name)); }

}  // namespace bulkhead
