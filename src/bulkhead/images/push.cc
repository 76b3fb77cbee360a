#include "bulkhead/images/push.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

/// Tells how much of a blob has gone, as far as no try before has sent it. Owns the reader.
class TellingReader final : public oci::BlobReader {
 public:
  /// `told` is how far the blob has got, over all tries.
  TellingReader(std::unique_ptr<oci::BlobReader> reader, std::uint64_t offset, std::uint64_t& told,
                Progress& progress, const Digest& digest)
      : reader_(std::move(reader)),
        offset_(offset),
        told_(told),
        progress_(progress),
        digest_(digest) {}

  Result<std::size_t> read(MutableBytes buffer) override {
    const std::size_t n = BH_TRY(reader_->read(buffer));
    offset_ += n;
    if (offset_ > told_) {
      progress_.layer_advanced(digest_, offset_ - std::exchange(told_, offset_));
    }
    return n;
  }

 private:
  std::unique_ptr<oci::BlobReader> reader_;
  std::uint64_t offset_;
  std::uint64_t& told_;
  Progress& progress_;
  const Digest& digest_;
};

class Pusher {
 public:
  Pusher(store::Store& store, registry::Client& client, const PushOptions& options)
      : store_(store), client_(client), options_(options), progress_(options.progress) {}

  Result<> send_blobs(const std::vector<oci::Descriptor>& queue) {
    sources_ = BH_TRY(mount_sources());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      while (!has_failed()) {
        const std::size_t index = next++;
        if (index >= queue.size()) {
          return;
        }
        if (auto sent = send_blob(queue[index]); !sent) {
          const std::lock_guard guard(mutex_);
          if (!failure_) {
            failure_ = std::move(sent).error();
          }
        }
      }
    };
    {
      std::vector<std::jthread> threads;
      const auto count = std::min<std::size_t>(std::max(options_.at_once, 1U), queue.size());
      for (std::size_t index = 1; index < count; ++index) {
        threads.emplace_back(work);
      }
      work();
    }
    if (failure_) {
      return *std::move(failure_);
    }
    return {};
  }

  Result<> send_documents(const OutgoingImage& image) {
    const Digest& top = image.documents.back().digest;
    for (const oci::Descriptor& document : image.documents) {
      const Digest& digest = document.digest;
      const bool is_top = digest == top;
      const std::string content =
          is_top && image.made ? *image.made : BH_TRY(read_document(store_, document));
      const std::string name = is_top ? client_.reference().tag_or_digest() : digest.text();
      BH_TRY(client_.push_manifest(content, document.media_type, name, digest));
    }
    return {};
  }

 private:
  bool has_failed() {
    const std::lock_guard guard(mutex_);
    return failure_.has_value();
  }

  /// Other repositories of the same registry that images here came from, by blob.
  Result<std::map<Digest, std::string>> mount_sources() {
    std::map<Digest, std::string> sources;
    const std::vector<store::ImageRecord> records = BH_TRY(store_.list());
    for (const store::ImageRecord& record : records) {
      const auto reference = oci::Reference::parse(record.reference);
      if (!reference || reference->registry() != client_.reference().registry() ||
          reference->repository() == client_.reference().repository()) {
        continue;
      }
      const auto content = store_.read_blob(record.manifest, oci::kLargestDocument);
      const auto manifest =
          content ? oci::parse_manifest(*content) : Result<oci::Manifest>(content.error());
      if (manifest) {
        sources.emplace(manifest->config.digest, reference->repository());
        for (const oci::Descriptor& layer : manifest->layers) {
          sources.emplace(layer.digest, reference->repository());
        }
      }
    }
    return sources;
  }

  Result<> send_blob(const oci::Descriptor& blob) {
    const std::string what = "blob " + blob.digest.text();
    if (BH_TRY(client_.has_blob(blob.digest).context(what))) {
      progress_.layer_present(blob.digest);
      return {};
    }
    bool is_started = false;
    std::uint64_t told = 0;
    const auto open = [&](std::uint64_t offset) -> Result<std::unique_ptr<oci::BlobReader>> {
      if (!std::exchange(is_started, true)) {
        progress_.layer_started(blob.digest, blob.size);
      }
      os::UniqueFd fd = BH_TRY(store_.open_blob(blob.digest));
      return std::make_unique<TellingReader>(std::make_unique<FdBlobReader>(std::move(fd), offset),
                                             offset, told, progress_, blob.digest);
    };
    registry::Client::UploadOptions upload{.chunk_bytes = options_.chunk_bytes};
    if (const auto source = sources_.find(blob.digest); source != sources_.end()) {
      upload.mount_from = source->second;
    }
    BH_TRY(client_.push_blob(blob, open, upload).context(what));
    if (is_started) {
      progress_.layer_finished(blob.digest);
    } else {
      progress_.layer_present(blob.digest);
    }
    return {};
  }

  store::Store& store_;
  registry::Client& client_;
  const PushOptions& options_;
  LockedProgress progress_;
  std::map<Digest, std::string> sources_;
  std::mutex mutex_;
  std::optional<Error> failure_;  ///< guarded by the mutex
};

}  // namespace

Result<oci::Descriptor> push(store::Store& store, const std::string& name, registry::Client& client,
                             const PushOptions& options) {
  // Held to the end, so that nothing is collected meanwhile.
  const os::FileLock use = BH_TRY(store.hold_content());
  const std::optional<store::ImageRecord> record = BH_TRY(store.find_record(name));
  if (!record) {
    return fail(ErrorCode::NotFound, "image {}: not found", quote(name));
  }
  OutgoingImage image =
      BH_TRY(select_outgoing(store, *record, options.which).context("image " + record->reference));
  oci::Descriptor& top = image.documents.back();
  const std::optional<Digest>& promised = client.reference().digest();
  if (promised && *promised != top.digest) {
    return fail(ErrorCode::Invalid, "image {}: its digest is {}, not {}", record->reference,
                top.digest.text(), promised->text());
  }
  if (options.progress != nullptr) {
    options.progress->image(client.reference().text());
  }
  std::erase_if(image.blobs, [](const oci::Descriptor& blob) {
    return oci::is_foreign_layer(blob.media_type) && !blob.urls.empty();
  });
  Pusher pusher(store, client, options);
  BH_TRY(pusher.send_blobs(image.blobs));
  BH_TRY(pusher.send_documents(image));
  return std::move(top);
}

}  // namespace bulkhead::images
