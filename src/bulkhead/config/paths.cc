#include "bulkhead/config/paths.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file.h"

namespace bulkhead::config {
namespace {

Result<std::string> directory_from(const char* variable, std::string_view otherwise) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') {
    return std::string(otherwise);
  }
  std::string_view path(value);
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  bool is_plain = path.starts_with('/') && path.size() > 1;
  for (const std::string_view piece : split(path.substr(is_plain ? 1 : 0), '/')) {
    is_plain = is_plain && !piece.empty() && piece != "." && piece != "..";
  }
  if (!is_plain) {
    return fail(ErrorCode::Invalid, R"({} is {}: give an absolute path without "." and "..")",
                variable, quote(path));
  }
  return std::string(path);
}

std::string join(std::string_view directory, std::string_view middle, std::string_view name) {
  std::string path(directory);
  path += middle;
  path += name;
  return path;
}

}  // namespace

Result<Paths> Paths::from_environment() {
  const std::string program = BH_TRY(os::program_directory());
  const std::string prefix = program.substr(0, program.rfind('/'));
  Paths paths;
  paths.state = BH_TRY(directory_from("BULKHEAD_STATE_DIR", "/var/lib/bulkhead"));
  paths.run = BH_TRY(directory_from("BULKHEAD_RUN_DIR", "/run/bulkhead"));
  paths.libexec = prefix + "/libexec";
  paths.share = BH_TRY(directory_from("BULKHEAD_SHARE_DIR", prefix + "/share/bulkhead"));
  return paths;
}

std::string Paths::container_state(std::string_view id) const {
  return join(state, "/containers/", id);
}

std::string Paths::container_run(std::string_view id) const {
  return join(run, "/containers/", id);
}

std::string Paths::program(std::string_view name) const { return join(libexec, "/", name); }

}  // namespace bulkhead::config
