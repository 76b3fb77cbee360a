#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "bulkhead/base/digest.h"

namespace bulkhead::images {

/// Told how an image comes in or goes out, where each of its blobs counts as a layer. The defaults
/// say nothing to anybody. Called from one thread at a time.
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

  /// `bytes` more of the layer have come in or gone out.
  virtual void layer_advanced(const Digest& /*digest*/, std::uint64_t /*bytes*/) {}

  virtual void layer_finished(const Digest& /*digest*/) {}
};

/// Passes what several threads say on to one that listens, if there is one. Borrows it.
class LockedProgress final : public Progress {
 public:
  explicit LockedProgress(Progress* listener) : listener_(listener) {}

  void image(std::string_view reference) override {
    tell([&](Progress& listener) { listener.image(reference); });
  }

  void layer_present(const Digest& digest) override {
    tell([&](Progress& listener) { listener.layer_present(digest); });
  }

  void layer_started(const Digest& digest, std::uint64_t size_bytes) override {
    tell([&](Progress& listener) { listener.layer_started(digest, size_bytes); });
  }

  void layer_advanced(const Digest& digest, std::uint64_t bytes) override {
    tell([&](Progress& listener) { listener.layer_advanced(digest, bytes); });
  }

  void layer_finished(const Digest& digest) override {
    tell([&](Progress& listener) { listener.layer_finished(digest); });
  }

 private:
  template <class Tell>
  void tell(Tell say) {
    if (listener_ != nullptr) {
      const std::lock_guard lock(mutex_);
      say(*listener_);
    }
  }

  std::mutex mutex_;
  Progress* listener_;  ///< guarded by the mutex
};

}  // namespace bulkhead::images
