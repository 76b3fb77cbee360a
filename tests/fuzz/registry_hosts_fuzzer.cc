#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/registry/hosts.h"
#include "bulkhead/registry/url.h"

// What parses names only http and https, the registry itself is last, and no header smuggles
// another.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  const auto endpoints = registry::parse_hosts(text, "registry.example", "/nonexistent");
  if (!endpoints) {
    return 0;
  }
  BH_CHECK(!endpoints->empty() && !endpoints->back().is_mirror);
  for (const registry::Endpoint& endpoint : *endpoints) {
    BH_CHECK(registry::origin_of(endpoint.base_url).has_value());
    BH_CHECK(!endpoint.base_url.ends_with('/'));
    for (const auto& [name, value] : endpoint.headers) {
      BH_CHECK(!name.contains('\n') && !value.contains('\n') && !value.contains('\r'));
    }
  }
  return 0;
}
