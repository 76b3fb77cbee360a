#include "bulkhead/ttrpc/status.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/base/error.h"

namespace bulkhead::ttrpc {
namespace {

constexpr std::size_t kMaxRemoteText = 1024;

struct Pair {
  ErrorCode error;
  StatusCode status;
};

// The first row of a status is what it becomes on the way back.
constexpr auto kTable = std::to_array<Pair>({
    {ErrorCode::Cancelled, StatusCode::Cancelled},
    {ErrorCode::Remote, StatusCode::Unknown},
    {ErrorCode::Invalid, StatusCode::InvalidArgument},
    {ErrorCode::Timeout, StatusCode::DeadlineExceeded},
    {ErrorCode::NotFound, StatusCode::NotFound},
    {ErrorCode::AlreadyExists, StatusCode::AlreadyExists},
    {ErrorCode::PermissionDenied, StatusCode::PermissionDenied},
    {ErrorCode::PermissionDenied, StatusCode::Unauthenticated},
    {ErrorCode::ResourceExhausted, StatusCode::ResourceExhausted},
    {ErrorCode::NoSpace, StatusCode::ResourceExhausted},
    {ErrorCode::FailedPrecondition, StatusCode::FailedPrecondition},
    {ErrorCode::FailedPrecondition, StatusCode::Aborted},
    {ErrorCode::Invalid, StatusCode::OutOfRange},
    {ErrorCode::Unsupported, StatusCode::Unimplemented},
    {ErrorCode::Internal, StatusCode::Internal},
    {ErrorCode::Io, StatusCode::Internal},
    {ErrorCode::Unavailable, StatusCode::Unavailable},
    {ErrorCode::Corrupt, StatusCode::DataLoss},
});

/// The length of the valid UTF-8 sequence at the start of `text`, of a character that may be
/// printed; 0 if there is none.
std::size_t printable_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) {
    return first >= 0x20 && first != 0x7f ? 1 : 0;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) {
    return 0;
  }
  std::uint32_t point = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
    point = (point << 6U) | (byte(i) & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid =
      point >= kLeast.at(length) && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  const bool control = point < 0xa0 || point == 0x2028 || point == 0x2029 ||
                       (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
  return valid && !control ? length : 0;
}

}  // namespace

StatusCode to_status_code(ErrorCode code) {
  const auto* row = std::ranges::find(kTable, code, &Pair::error);
  return row == kTable.end() ? StatusCode::Internal : row->status;
}

ErrorCode from_status_code(std::int32_t code) {
  const auto* row = std::ranges::find(kTable, StatusCode(code), &Pair::status);
  return row == kTable.end() ? ErrorCode::Remote : row->error;
}

Error error_from_status(std::int32_t code, std::string_view message) {
  return {from_status_code(code), message.empty() ? fmt::format("peer answered with code {}", code)
                                                  : printable(message, kMaxRemoteText)};
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string result;
  while (!text.empty() && result.size() < limit) {
    if (const std::size_t length = printable_length(text); length != 0) {
      result += text.substr(0, length);
      text.remove_prefix(length);
    } else {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}",
                     static_cast<unsigned char>(text.front()));
      text.remove_prefix(1);
    }
  }
  if (!text.empty()) {
    result += "…";
  }
  return result;
}

}  // namespace bulkhead::ttrpc
