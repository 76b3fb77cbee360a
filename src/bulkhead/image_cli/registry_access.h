#pragma once

#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/client.h"

namespace bulkhead::image_cli {

/// What --insecure says.
inline registry::Transport transport_of(bool is_insecure) {
  return is_insecure ? registry::Transport::Insecure : registry::Transport::Secure;
}

/// Some repository of the registry "https://quay.io/", "quay.io" or "docker.io". Errors: Invalid.
Result<oci::Reference> registry_reference(std::string_view text);

}  // namespace bulkhead::image_cli
