#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/runtime/log_format.h"

// What parses is written and parses to the same again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  const std::string_view line = text.substr(0, text.find('\n'));
  if (const auto parsed = runtime::parse_log_line(line)) {
    std::string written;
    runtime::append_log_line(written, format_rfc3339(parsed->time), parsed->stream, parsed->partial,
                             parsed->text);
    const auto again =
        runtime::parse_log_line(std::string_view(written).substr(0, written.size() - 1));
    BH_CHECK(again.has_value() && again->time == parsed->time && again->text == parsed->text &&
             again->partial == parsed->partial && again->stream == parsed->stream);
  }
  return 0;
}
