#include "bulkhead/os/execute.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "bulkhead/base/error.h"

namespace bulkhead::os {

Error execute(const std::string& path, const std::vector<std::string>& arguments,
              const std::vector<std::string>& environment) {
  const std::vector<char*> argument_pointers = exec_pointers(arguments);
  const std::vector<char*> environment_pointers = exec_pointers(environment);
  ::execve(path.c_str(), argument_pointers.data(), environment_pointers.data());
  return Error::from_errno("exec " + path);
}

Error replace_process(const std::vector<std::string>& arguments) {
  const std::vector<char*> pointers = exec_pointers(arguments);
  ::execvp(pointers.front(), pointers.data());
  return Error::from_errno("run " + arguments.front());
}

std::vector<char*> exec_pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) {
    // exec's interface is not const-correct; it does not write.
    pointers.push_back(
        const_cast<char*>(text.c_str()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace bulkhead::os
