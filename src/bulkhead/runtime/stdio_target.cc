#include "bulkhead/runtime/stdio_target.h"

#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::runtime {

Result<StdioTarget> StdioTarget::parse(const std::string& text) {
  if (text.empty()) {
    return StdioTarget{};
  }
  Kind kind = Kind::Fifo;
  std::string path = text;
  if (const auto scheme_end = text.find("://"); scheme_end != std::string::npos) {
    const std::string_view scheme = std::string_view(text).substr(0, scheme_end);
    path = text.substr(scheme_end + 3);
    if (scheme == "file") {
      kind = Kind::File;
      path = path.substr(0, path.find('?'));
    } else if (scheme != "fifo") {
      return fail(ErrorCode::Unsupported, "stdio {}: streams of this kind are not supported",
                  quote(text));
    }
  }
  if (!path.starts_with('/') || path.contains('\0')) {
    return fail(ErrorCode::Invalid, "stdio {}: not an absolute path", quote(text));
  }
  return StdioTarget{.kind = kind, .path = std::move(path)};
}

}  // namespace bulkhead::runtime
