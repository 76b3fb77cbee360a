#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/base/digest.h"

namespace bulkhead::images {

/// Told how an image comes in. The defaults say nothing to anybody. Called from one thread.
class Progress {
 public:
  Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  virtual ~Progress() = default;

  /// A new image begins. `reference` is complete.
  virtual void image(std::string_view /*reference*/) {}

  /// A layer that is there already.
  virtual void layer_present(const Digest& /*digest*/) {}

  virtual void layer_started(const Digest& /*digest*/, std::uint64_t /*size_bytes*/) {}

  /// `bytes` more of the layer have been read.
  virtual void layer_advanced(const Digest& /*digest*/, std::uint64_t /*bytes*/) {}

  virtual void layer_finished(const Digest& /*digest*/) {}
};

}  // namespace bulkhead::images
