#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/base/digest.h"
#include "bulkhead/images/progress.h"

namespace bulkhead::image_cli {

/// Says how an image comes in: one line for each layer, on standard error.
class ProgressLines final : public images::Progress {
 public:
  void image(std::string_view reference) override;
  void layer_present(const Digest& digest) override;
  void layer_started(const Digest& digest, std::uint64_t size_bytes) override;
  void layer_finished(const Digest& digest) override;

 private:
  static void line(std::string_view text);
};

}  // namespace bulkhead::image_cli
