#include "bulkhead/image_cli/progress_terminal.h"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/image_cli/progress_lines.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/terminal.h"

namespace bulkhead::image_cli {
namespace {

constexpr std::chrono::milliseconds kBetweenDraws{100};

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void write_text(std::string_view text) {
  // Nobody there to read it is no reason to stop.
  static_cast<void>(os::write_all(STDERR_FILENO, as_bytes(text)));
}

}  // namespace

void ProgressTerminal::image(std::string_view reference) {
  // What was drawn for the image before stays above.
  display_ = ProgressDisplay(colour_, work_);
  drawn_ = 0;
  write_text(std::string(reference) + "\n");
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
  // Asked each time, so that a window may change its size.
  const auto size = os::terminal_size(STDERR_FILENO);
  const os::TerminalSize known = size ? *size : os::TerminalSize{.columns = 80, .rows = 24};
  const std::vector<std::string> lines = display_.lines(known.columns, known.rows, now);
  write_text(redraw(drawn_, lines));
  drawn_ = lines.size();
}

std::unique_ptr<images::Progress> make_progress(ProgressMode mode, LayerWork work) {
  if (mode == ProgressMode::Auto) {
    const std::string_view terminal = environment("TERM");
    const bool is_able = os::is_terminal(STDERR_FILENO) && !terminal.empty() && terminal != "dumb";
    mode = is_able ? ProgressMode::Terminal : ProgressMode::Plain;
  }
  switch (mode) {
    case ProgressMode::Terminal:
      return std::make_unique<ProgressTerminal>(environment("NO_COLOR").empty()
                                                    ? ProgressDisplay::Colour::Some
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
