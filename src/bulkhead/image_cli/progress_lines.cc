#include "bulkhead/image_cli/progress_lines.h"

#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/os/io.h"

namespace bulkhead::image_cli {

void ProgressLines::image(std::string_view reference) { line(reference); }

void ProgressLines::layer_present(const Digest& digest) {
  line(digest.short_text() + ": already there");
}

void ProgressLines::layer_started(const Digest& digest, std::uint64_t size_bytes) {
  const std::string_view what = work_ == LayerWork::Unpacking ? ": unpacking " : ": sending ";
  line(digest.short_text() + std::string(what) + format_size(size_bytes));
}

void ProgressLines::layer_finished(const Digest& digest) { line(digest.short_text() + ": done"); }

void ProgressLines::line(std::string_view text) {
  std::string whole(text);
  whole += '\n';
  // Nobody there to read it is no reason to stop.
  static_cast<void>(os::write_all(STDERR_FILENO, as_bytes(whole)));
}

}  // namespace bulkhead::image_cli
