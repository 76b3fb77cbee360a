#include "bulkhead/guest/program.h"

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/mount.h"

namespace bulkhead::guest {
namespace {

Result<> check_program(const std::string& path) {
  const os::FileInfo info = BH_TRY(os::file_info(path));
  if (info.is_directory()) {
    return Error::from_errno(EISDIR, path);
  }
  return os::check_executable(path);
}

FoundProgram failed(std::string_view name, ProgramFailure failure, std::string_view why) {
  return {.path = {}, .failure = failure, .message = fmt::format("exec {}: {}", quote(name), why)};
}

ProgramFailure failure_of(int os_error) {
  return os_error == ENOENT || os_error == ENOTDIR || os_error == ENAMETOOLONG
             ? ProgramFailure::NotFound
             : ProgramFailure::NotExecutable;
}

std::string_view reason(int os_error) {
  switch (os_error) {
    case ENOENT:
      return "no such file or directory";
    case ENOTDIR:
      return "not a directory";
    case EISDIR:
      return "is a directory";
    case EACCES:
    case EPERM:
      return "permission denied";
    case ENOEXEC:
      return "exec format error";
    case ELOOP:
      return "too many levels of symbolic links or interpreters";
    case E2BIG:
      return "argument list too long";
    case ENAMETOOLONG:
      return "file name too long";
    case ENOMEM:
      return "out of memory";
    case ETXTBSY:
      return "text file busy";
    default:
      return "cannot be executed";
  }
}

}  // namespace

FoundProgram find_program(const std::string& name, std::string_view search_path) {
  if (name.empty()) {
    return failed(name, ProgramFailure::NotFound, "no such file or directory");
  }
  if (name.contains('/')) {
    const auto checked = check_program(name);
    if (!checked) {
      const int error = checked.error().os_error();
      return failed(name, failure_of(error), reason(error));
    }
    return {.path = name, .failure = ProgramFailure::None, .message = {}};
  }
  for (const std::string_view directory : split(search_path, ':')) {
    // An empty entry is the working directory.
    std::string path = std::string(directory.empty() ? "." : directory) + "/" + name;
    if (check_program(path)) {
      return {.path = std::move(path), .failure = ProgramFailure::None, .message = {}};
    }
  }
  return failed(name, ProgramFailure::NotFound, "executable file not found in $PATH");
}

FoundProgram explain_exec_failure(const std::string& path, const Error& error) {
  if (error.os_error() == ENOENT) {
    // The file itself was there: it is its interpreter that is not.
    return failed(path, ProgramFailure::NotFound,
                  "no such file or directory (the interpreter or loader that it names)");
  }
  return failed(path, failure_of(error.os_error()), reason(error.os_error()));
}

}  // namespace bulkhead::guest
