#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/base/digest.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/images/progress.h"

namespace bulkhead::image_cli {

/// Says how an image comes in or goes out: a line where a layer begins and one where it ends, on
/// standard error.
class ProgressLines final : public images::Progress {
 public:
  explicit ProgressLines(LayerWork work) : work_(work) {}

  void image(std::string_view reference) override;
  void layer_present(const Digest& digest) override;
  void layer_started(const Digest& digest, std::uint64_t size_bytes) override;
  void layer_finished(const Digest& digest) override;

 private:
  static void line(std::string_view text);

  LayerWork work_;
};

}  // namespace bulkhead::image_cli
