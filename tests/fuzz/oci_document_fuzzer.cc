#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"

// No document parses both as a manifest and as an index; what parses is written and parses again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  const bool is_manifest = oci::parse_manifest(text, oci::kOciManifest).has_value();
  const bool is_index = oci::parse_index(text, oci::kOciIndex).has_value();
  BH_CHECK(!(is_manifest && is_index));
  const auto document = oci::parse_document(text);
  if (!document) {
    return 0;
  }
  if (const auto* manifest = std::get_if<oci::Manifest>(&*document)) {
    const std::string written = manifest->serialise();
    const auto again = oci::parse_manifest(written, manifest->media_type);
    BH_CHECK(again.has_value() && again->serialise() == written);
  } else {
    const auto& index = std::get<oci::Index>(*document);
    const std::string written = index.serialise();
    const auto again = oci::parse_index(written, index.media_type);
    BH_CHECK(again.has_value() && again->serialise() == written);
    static_cast<void>(oci::select_platform(index, {"linux", "arm", "v7"}));
  }
  return 0;
}
