#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/image_process.h"
#include "bulkhead/oci/spec.h"

// What parses is written and parses again, and makes a process that a runtime spec can carry.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const auto config = oci::ImageConfig::parse(as_text(std::as_bytes(std::span(data, size))));
  if (!config) {
    return 0;
  }
  const std::string written = config->serialise();
  const auto again = oci::ImageConfig::parse(written);
  BH_CHECK(again.has_value() && again->serialise() == written);
  oci::Spec spec = oci::default_spec();
  if (oci::apply_image(*config, {.arguments = {"x"}}, *spec.process)) {
    const auto text = spec.serialise();
    BH_CHECK(text.has_value() && oci::Spec::parse(*text).has_value());
  }
  return 0;
}
