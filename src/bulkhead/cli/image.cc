#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/execute.h"

namespace bulkhead::cli {

namespace {

Result<int> replace_by(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return os::replace_process(words);
}

}  // namespace

Result<int> image(const config::Paths& paths, const std::vector<std::string>& arguments) {
  return replace_by(paths.program("bulkhead-image"), arguments);
}

Result<int> disk(const config::Paths& paths, const std::vector<std::string>& arguments) {
  return replace_by(paths.program("bulkhead-disk"), arguments);
}

}  // namespace bulkhead::cli
