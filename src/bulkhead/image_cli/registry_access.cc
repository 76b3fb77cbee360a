#include "bulkhead/image_cli/registry_access.h"

#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/reference.h"

namespace bulkhead::image_cli {

Result<oci::Reference> registry_reference(std::string_view text) {
  const std::string_view whole = text;
  for (const std::string_view prefix : {"https://", "http://"}) {
    if (text.starts_with(prefix)) {
      text.remove_prefix(prefix.size());
    }
  }
  while (text.ends_with('/')) {
    text.remove_suffix(1);
  }
  if (text == "index.docker.io" || text == "registry-1.docker.io" || text == "index.docker.io/v1") {
    text = "docker.io";
  }
  auto reference = oci::Reference::parse(std::string(text) + "/any");
  const bool is_host = text.contains('.') || text.contains(':') || text == "localhost";
  if (!reference || !is_host || text.contains('/')) {
    return fail(ErrorCode::Invalid,
                "registry {}: a host name, with :PORT where it has one, is "
                "expected",
                quote(whole));
  }
  return reference;
}

}  // namespace bulkhead::image_cli
