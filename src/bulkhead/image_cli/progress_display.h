#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/digest.h"

namespace bulkhead::image_cli {

/// What happens to the layers that are shown.
enum class LayerWork : std::uint8_t { Unpacking, Sending };

/// The lines that show layers on a terminal, one each: pure text, no terminal and no clock of its
/// own.
class ProgressDisplay {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Colour : std::uint8_t { None, Some };

  ProgressDisplay(Colour colour, LayerWork work) : colour_(colour), work_(work) {}

  void layer_present(const Digest& digest);
  void layer_started(const Digest& digest, std::uint64_t size_bytes, Clock::time_point now);
  void layer_advanced(const Digest& digest, std::uint64_t bytes);
  void layer_finished(const Digest& digest, Clock::time_point now);

  /// What the layers look like now, in a terminal of that size: no line is wider, and there are
  /// fewer than it has rows; of more layers the finished ones are left out first.
  [[nodiscard]] std::vector<std::string> lines(std::uint16_t columns, std::uint16_t rows,
                                               Clock::time_point now) const;

 private:
  enum class State : std::uint8_t { Present, Running, Done };

  struct Layer {
    Digest digest;
    State state = State::Running;
    std::uint64_t size = 0;
    std::uint64_t bytes = 0;
    Clock::time_point begin;
    Clock::time_point end;
  };

  Layer* find(const Digest& digest);
  [[nodiscard]] std::string line(const Layer& layer, std::size_t columns,
                                 Clock::time_point now) const;

  Colour colour_;
  LayerWork work_;
  std::vector<Layer> layers_;
};

}  // namespace bulkhead::image_cli
