#include "bulkhead/image_cli/progress_display.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/text.h"

namespace bulkhead::image_cli {
namespace {

using std::chrono::seconds;

constexpr std::size_t kBarColumns = 20;
/// "0123456789ab  " and the figures, "61.3 MB / 61.3 MB  100.0 MB/s  1:23": with a bar it is this.
constexpr std::size_t kColumnsWithBar = 78;
constexpr std::size_t kColumnsWithRate = 54;

double seconds_of(ProgressDisplay::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string minutes(double duration) {
  static constexpr double kLongest = 100 * 24 * 3600;
  const long whole = std::lround(std::min(duration, kLongest));
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string bar(std::uint64_t bytes, std::uint64_t size) {
  const std::size_t filled =
      size == 0 ? kBarColumns
                : static_cast<std::size_t>(static_cast<double>(kBarColumns) *
                                           static_cast<double>(std::min(bytes, size)) /
                                           static_cast<double>(size));
  std::string text(filled, '=');
  if (filled < kBarColumns) {
    text += '>';
  }
  text.resize(kBarColumns, ' ');
  return "[" + text + "]";
}

}  // namespace

ProgressDisplay::Layer* ProgressDisplay::find(const Digest& digest) {
  const auto found = std::ranges::find(layers_, digest, &Layer::digest);
  return found == layers_.end() ? nullptr : &*found;
}

void ProgressDisplay::layer_present(const Digest& digest) {
  if (find(digest) == nullptr) {
    layers_.push_back({.digest = digest, .state = State::Present, .begin = {}, .end = {}});
  }
}

void ProgressDisplay::layer_started(const Digest& digest, std::uint64_t size_bytes,
                                    Clock::time_point now) {
  if (find(digest) == nullptr) {
    layers_.push_back({.digest = digest, .size = size_bytes, .begin = now, .end = {}});
  }
}

void ProgressDisplay::layer_advanced(const Digest& digest, std::uint64_t bytes) {
  if (Layer* layer = find(digest)) {
    layer->bytes += bytes;
  }
}

void ProgressDisplay::layer_finished(const Digest& digest, Clock::time_point now) {
  if (Layer* layer = find(digest)) {
    layer->state = State::Done;
    layer->end = now;
  }
}

std::string ProgressDisplay::line(const Layer& layer, std::size_t columns,
                                  Clock::time_point now) const {
  std::string text = layer.digest.short_text() + "  ";
  if (layer.state == State::Present) {
    text += "already there";
  } else if (layer.state == State::Done) {
    text += "done  " + format_size(layer.size);
    if (columns >= kColumnsWithRate) {
      text += "  " + minutes(seconds_of(layer.end - layer.begin));
    }
  } else {
    if (columns >= kColumnsWithBar) {
      text += bar(layer.bytes, layer.size) + "  ";
    }
    if (layer.bytes >= layer.size && layer.size > 0) {
      // All of it is here, or there, where the registry hashes it.
      text += work_ == LayerWork::Unpacking ? "unpacking " : "finishing ";
      text += format_size(layer.size);
    } else {
      text += format_size(layer.bytes) + " / " + format_size(layer.size);
    }
    const double elapsed = seconds_of(now - layer.begin);
    if (columns >= kColumnsWithRate && elapsed > 0 && layer.bytes > 0 && layer.bytes < layer.size) {
      const double rate = static_cast<double>(layer.bytes) / elapsed;
      text += "  " + format_size(static_cast<std::uint64_t>(rate)) + "/s  " +
              minutes(static_cast<double>(layer.size - layer.bytes) / rate);
    }
  }
  text = text.substr(0, columns);
  if (colour_ == Colour::Some && layer.state == State::Running) {
    return "\x1b[36m" + text + "\x1b[0m";
  }
  return text;
}

std::vector<std::string> ProgressDisplay::lines(std::uint16_t columns, std::uint16_t rows,
                                                Clock::time_point now) const {
  // A line that fills the last column makes some terminals begin another.
  const std::size_t width = columns > 1 ? columns - 1U : 79U;
  const std::size_t most = rows > 2 ? rows - 1U : 1U;
  std::size_t to_leave_out = layers_.size() > most ? layers_.size() - most : 0;
  std::vector<std::string> lines;
  for (const Layer& layer : layers_) {
    if (to_leave_out > 0 && layer.state != State::Running) {
      --to_leave_out;
      continue;
    }
    if (lines.size() < most) {
      lines.push_back(line(layer, width, now));
    }
  }
  return lines;
}

}  // namespace bulkhead::image_cli
