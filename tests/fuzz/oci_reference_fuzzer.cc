#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"

// What parses is complete, bounded and harmless in a path or URL, and parses to itself again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto reference = oci::Reference::parse(text)) {
    const std::string whole = reference->text();
    BH_CHECK(whole.size() < 1024);
    BH_CHECK(!whole.contains("/.") && !whole.contains("//"));
    for (const char c : whole) {
      BH_CHECK(c > 0x20 && c < 0x7f);
    }
    const auto again = oci::Reference::parse(whole);
    BH_CHECK(again.has_value() && *again == *reference);
    const auto familiar = oci::Reference::parse(reference->familiar());
    BH_CHECK(familiar.has_value() && *familiar == *reference);
  }
  if (const auto platform = oci::Platform::parse(text)) {
    const auto again = oci::Platform::parse(platform->text());
    BH_CHECK(again.has_value() && *again == *platform);
  }
  if (const auto digest = Digest::parse(text)) {
    BH_CHECK(digest->text() == text &&
             text == std::string(digest->algorithm_name()) + ":" + digest->hex());
    BH_CHECK(digest->hex().size() == (digest->algorithm() == DigestAlgorithm::Sha256 ? 64U : 128U));
    // A file name and part of a URL, as it is.
    for (const char c : digest->hex()) {
      BH_CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    }
    BH_CHECK(Digest::from_hex(digest->algorithm(), digest->hex()) == *digest);
  }
  static_cast<void>(oci::check_user(text));
  static_cast<void>(oci::parse_signal(text));
  return 0;
}
