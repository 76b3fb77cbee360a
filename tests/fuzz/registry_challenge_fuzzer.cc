#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/registry/authorizer.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/content_range.h"
#include "bulkhead/registry/link_header.h"
#include "bulkhead/registry/url.h"

// What a registry says in headers: nothing it says leads a password to a host without https, and
// what parses is bounded.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto challenges = registry::Challenge::parse(text)) {
    BH_CHECK(!challenges->empty() && challenges->size() <= 16);
    const auto host = registry::origin_of("https://registry.example/v2/");
    for (const registry::Challenge& challenge : *challenges) {
      BH_CHECK(!challenge.scheme.empty() && challenge.parameters.size() <= 16);
      if (const auto realm = registry::origin_of(challenge.parameter("realm"))) {
        BH_CHECK(realm->scheme == "https" || !registry::may_ask_for_token(*realm, *host));
        BH_CHECK(realm->host == "registry.example" || realm->host == "example" ||
                 !registry::may_send_credentials(*realm, *host));
      }
    }
  }
  if (const auto range = registry::ContentRange::parse(text)) {
    BH_CHECK(range->first <= range->last && (!range->total || range->last < *range->total));
  }
  if (const auto next = registry::next_link(text)) {
    static_cast<void>(registry::resolve_url("https://registry.example/v2/_catalog", *next));
  }
  if (const auto token = registry::Token::parse(std::string(text))) {
    BH_CHECK(token->value.find_first_of("\r\n ") == std::string::npos);
    BH_CHECK(token->lifetime.count() >= 60 && token->lifetime.count() <= 86400);
  }
  return 0;
}
