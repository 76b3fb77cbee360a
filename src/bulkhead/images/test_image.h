#pragma once

// Images made in memory for tests, and a source that serves them, lies included.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"

namespace bulkhead::images {

inline Digest sha256(std::string_view content) {
  return hash::digest_of(as_bytes(content)).value();
}

class TextBlobReader final : public oci::BlobReader {
 public:
  explicit TextBlobReader(std::string content) : content_(std::move(content)) {}

  Result<std::size_t> read(MutableBytes buffer) override {
    const std::size_t count = std::min(buffer.size(), content_.size() - position_);
    std::memcpy(buffer.data(), content_.data() + position_, count);
    position_ += count;
    return count;
  }

 private:
  std::string content_;
  std::size_t position_ = 0;
};

/// Serves what it is given; any blob may be replaced by something else.
class MemorySource final : public oci::BlobSource {
 public:
  oci::Descriptor add(std::string_view media_type, const std::string& content) {
    const Digest digest = sha256(content);
    blobs_[digest] = content;
    return {.media_type = std::string(media_type), .digest = digest, .size = content.size()};
  }

  void set_top(const oci::Descriptor& descriptor) { top_ = {descriptor}; }

  void replace(const Digest& digest, std::string content) { blobs_[digest] = std::move(content); }

  void remove(const Digest& digest) { blobs_.erase(digest); }

  [[nodiscard]] const std::string& content(const Digest& digest) const { return blobs_.at(digest); }

  Result<Resolved> resolve(const oci::Reference& /*reference*/) override {
    return Resolved{top_.front(), blobs_.at(top_.front().digest)};
  }

  Result<std::unique_ptr<oci::BlobReader>> open(const oci::Descriptor& descriptor) override {
    {
      const std::lock_guard lock(mutex_);
      opened.push_back(descriptor.digest);
    }
    const auto found = blobs_.find(descriptor.digest);
    if (found == blobs_.end()) {
      return fail(ErrorCode::NotFound, "blob {}: not found", descriptor.digest.text());
    }
    return std::unique_ptr<oci::BlobReader>(std::make_unique<TextBlobReader>(found->second));
  }

  std::vector<Digest> opened;

 private:
  std::mutex mutex_;  ///< of what open() changes
  std::map<Digest, std::string> blobs_;
  std::vector<oci::Descriptor> top_;
};

/// An image in parts, so that tests can spoil any of them before it is put into a source.
struct TestImage {
  oci::ImageConfig config;
  oci::Manifest manifest{
      .media_type = std::string(oci::kOciManifest),
      .config = {.media_type = std::string(oci::kOciConfig), .digest = sha256("")}};

  /// A layer: its tar, and what is served for it (the tar itself when empty).
  TestImage& layer(MemorySource& source, const std::string& tar, const std::string& blob = {},
                   std::string_view media_type = oci::kOciLayer) {
    config.diff_ids.push_back(sha256(tar));
    manifest.layers.push_back(source.add(media_type, blob.empty() ? tar : blob));
    return *this;
  }

  /// Adds config and manifest, and makes the manifest what the source resolves to.
  oci::Descriptor finish(MemorySource& source) {
    manifest.config = source.add(manifest.config.media_type, config.serialise());
    const oci::Descriptor top = source.add(manifest.media_type, manifest.serialise());
    source.set_top(top);
    return top;
  }
};

}  // namespace bulkhead::images
