#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/oci/spec.h"

// What parses is written and parses to the same again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto spec = oci::Spec::parse(text)) {
    const auto written = spec->serialise();
    BH_CHECK(written.has_value());
    const auto again = oci::Spec::parse(*written);
    BH_CHECK(again.has_value() && again->serialise().value() == *written);
  }
  if (const auto process = oci::Process::parse(text)) {
    BH_CHECK(process->serialise().has_value());
  }
  return 0;
}
