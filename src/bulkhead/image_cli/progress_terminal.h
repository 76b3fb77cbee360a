#pragma once

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "bulkhead/base/digest.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/os/live_lines.h"

namespace bulkhead::image_cli {

/// Shows layers on a terminal, on standard error, a live line for each.
class ProgressTerminal final : public images::Progress {
 public:
  ProgressTerminal(ProgressDisplay::Colour colour, LayerWork work)
      : display_(colour, work), colour_(colour), work_(work), lines_(STDERR_FILENO) {}

  void image(std::string_view reference) override;
  void layer_present(const Digest& digest) override;
  void layer_started(const Digest& digest, std::uint64_t size_bytes) override;
  void layer_advanced(const Digest& digest, std::uint64_t bytes) override;
  void layer_finished(const Digest& digest) override;

 private:
  void draw(ProgressDisplay::Clock::time_point now);

  ProgressDisplay display_;
  ProgressDisplay::Colour colour_;
  LayerWork work_;
  os::LiveLines lines_;
  ProgressDisplay::Clock::time_point last_draw_;
};

/// As the options say; Auto is a terminal's where standard error is one that can move its cursor.
/// Null for None.
std::unique_ptr<images::Progress> make_progress(ProgressMode mode, LayerWork work);

}  // namespace bulkhead::image_cli
