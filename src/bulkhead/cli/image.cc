#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/execute.h"

namespace bulkhead::cli {

Result<int> image(const config::Paths& paths, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {paths.program("bulkhead-image")};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return os::replace_process(words);
}

}  // namespace bulkhead::cli
