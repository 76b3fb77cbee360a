#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/write.h"

// What parses is written and parses to the same value again, pretty or not.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  const auto value = json::parse(text, "input");
  if (value) {
    BH_CHECK(json::is_utf8(text));
    for (const json::Style style : {json::Style::Compact, json::Style::Pretty}) {
      const std::string written = json::write(*value, style);
      const auto again = json::parse(written, "written", {.bytes = SIZE_MAX});
      BH_CHECK(again.has_value());
      BH_CHECK(json::write(*again, style) == written);
    }
  }
  return 0;
}
