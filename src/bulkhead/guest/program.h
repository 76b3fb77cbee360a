#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"

namespace bulkhead::guest {

/// Why a program cannot be executed, as shells tell it: 127 and 126.
enum class ProgramFailure : std::uint8_t {
  None,
  NotFound,
  NotExecutable,
};

struct FoundProgram {
  std::string path;
  ProgramFailure failure = ProgramFailure::None;
  std::string message;  ///< of a failure
};

/// Where `name` is, for this process with its root, working directory and ids. A name with a slash
/// is a path; another is looked for in `search_path`, where, as docker does, an entry that cannot
/// be executed is passed over, and nothing found is NotFound whatever the reason was.
FoundProgram find_program(const std::string& name, std::string_view search_path);

/// What an error of execve() means for a program that was found.
FoundProgram explain_exec_failure(const std::string& path, const Error& error);

}  // namespace bulkhead::guest
