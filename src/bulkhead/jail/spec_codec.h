#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/jail/jail.h"

// What the library hands to its helper program: the spec in a memory file, and what comes back
// through a pipe. Both ends are of one build; lengths are checked all the same.
//
//   spec     "bhjail2\n", then integers (le64) and strings (le32 length, bytes) in the order of
//            encode_spec(). Descriptors are not in it: the helper inherits them in place.
//   report   records of one fixed size, each written at once: the pid of the jailed process, or an
//            error. End of file without an error: the program has been executed.

namespace bulkhead::jail {

inline constexpr std::size_t kLargestSpec = 1U << 20U;

std::string encode_spec(const JailSpec& spec);

/// Errors: Corrupt.
Result<JailSpec> decode_spec(std::string_view encoded);

struct ReportRecord {
  enum Kind : std::uint32_t { kPid = 1, kError = 2 };

  le32 kind;
  le32 pid;
  le32 error_code;
  std::array<char, 500> message;  ///< NUL-padded
};

static_assert(sizeof(ReportRecord) == 512 && alignof(ReportRecord) == 1);

ReportRecord pid_record(pid_t pid);
ReportRecord error_record(const Error& error);

/// The error in a record of that kind.
Error record_error(const ReportRecord& record);

}  // namespace bulkhead::jail
