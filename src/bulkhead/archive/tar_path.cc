#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::archive {

Result<> clean_entry_path(std::string_view name, const TarLimits& limits, std::string& cleaned) {
  cleaned.clear();
  if (name.empty()) {
    return fail(ErrorCode::Invalid, "entry without a name");
  }
  if (name.size() > limits.path_bytes) {
    return fail(ErrorCode::Invalid, "entry {}: the name is longer than {} bytes", quote(name),
                limits.path_bytes);
  }
  if (name.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "entry {}: the name holds a NUL", quote(name));
  }
  const bool rooted = name.front() == '/';
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    const std::string_view component = name.substr(at, end - at);
    at = end + 1;
    if (component.empty() || component == ".") {
      continue;
    }
    if (component == "..") {
      if (cleaned.empty() && !rooted) {
        return fail(ErrorCode::Invalid, "entry {}: the name leaves the root", quote(name));
      }
      const std::size_t slash = cleaned.rfind('/');
      cleaned.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    if (component.size() > limits.name_bytes) {
      return fail(ErrorCode::Invalid, "entry {}: a component is longer than {} bytes", quote(name),
                  limits.name_bytes);
    }
    if (!cleaned.empty()) {
      cleaned += '/';
    }
    cleaned += component;
  }
  return {};
}

}  // namespace bulkhead::archive
