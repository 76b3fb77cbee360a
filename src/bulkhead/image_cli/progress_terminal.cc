#include "bulkhead/image_cli/progress_terminal.h"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/image_cli/progress_lines.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/live_lines.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/terminal.h"

namespace bulkhead::image_cli {
namespace {

constexpr std::chrono::milliseconds kBetweenDraws{100};

}  // namespace

void ProgressTerminal::image(std::string_view reference) {
  // What was drawn for the image before stays above.
  display_ = ProgressDisplay(colour_, work_);
  lines_.leave();
  // Nobody there to read it is no reason to stop.
  static_cast<void>(os::write_all(STDERR_FILENO, as_bytes(std::string(reference) + "\n")));
}

void ProgressTerminal::layer_present(const Digest& digest) {
  display_.layer_present(digest);
  draw(ProgressDisplay::Clock::now());
}

void ProgressTerminal::layer_started(const Digest& digest, std::uint64_t size_bytes) {
  const auto now = ProgressDisplay::Clock::now();
  display_.layer_started(digest, size_bytes, now);
  draw(now);
}

void ProgressTerminal::layer_advanced(const Digest& digest, std::uint64_t bytes) {
  display_.layer_advanced(digest, bytes);
  const auto now = ProgressDisplay::Clock::now();
  if (now - last_draw_ >= kBetweenDraws) {
    draw(now);
  }
}

void ProgressTerminal::layer_finished(const Digest& digest) {
  const auto now = ProgressDisplay::Clock::now();
  display_.layer_finished(digest, now);
  draw(now);
}

void ProgressTerminal::draw(ProgressDisplay::Clock::time_point now) {
  last_draw_ = now;
  const os::TerminalSize size = lines_.size();
  static_cast<void>(lines_.draw(display_.lines(size.columns, size.rows, now)));
}

std::unique_ptr<images::Progress> make_progress(ProgressMode mode, LayerWork work) {
  if (mode == ProgressMode::Auto) {
    mode = os::can_redraw(STDERR_FILENO) ? ProgressMode::Terminal : ProgressMode::Plain;
  }
  switch (mode) {
    case ProgressMode::Terminal:
      return std::make_unique<ProgressTerminal>(
          os::environment_variable("NO_COLOR").value_or("").empty() ? ProgressDisplay::Colour::Some
                                                                    : ProgressDisplay::Colour::None,
          work);
    case ProgressMode::None:
      return nullptr;
    case ProgressMode::Auto:
    case ProgressMode::Plain:
      break;
  }
  return std::make_unique<ProgressLines>(work);
}

}  // namespace bulkhead::image_cli
