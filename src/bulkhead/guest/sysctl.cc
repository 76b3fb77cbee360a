#include "bulkhead/guest/sysctl.h"

#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::guest {

Result<std::string> sysctl_path(std::string_view name) {
  std::string path(name);
  const auto first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.') {
    for (char& c : path) {
      if (c == '.') {
        c = '/';
      } else if (c == '/') {
        c = '.';
      }
    }
  }
  for (const std::string_view component : split(path, '/')) {
    if (component.empty() || component == "." || component == ".." ||
        component.find('\0') != std::string_view::npos) {
      return fail(ErrorCode::Invalid, "sysctl {}: not a valid name", quote(name));
    }
  }
  return path;
}

}  // namespace bulkhead::guest
