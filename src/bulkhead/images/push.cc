#include "bulkhead/images/push.h"

#include <fcntl.h>

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
#include <variant>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

constexpr int kDeepestIndex = 4;

struct NamedDocument {
  oci::Descriptor descriptor;
  std::string content;
};

/// What is to go.
struct Plan {
  std::vector<NamedDocument> documents;     ///< each after those that it names; the last is the top
  std::map<Digest, oci::Descriptor> blobs;  ///< configs and layers
};

class Planner {
 public:
  Planner(const store::Store& store, const store::ImageRecord& record, const PushOptions& options)
      : store_(store), record_(record), options_(options) {}

  Result<Plan> make() {
    oci::Descriptor top = record_.target;
    std::string content = BH_TRY(read(top));
    const oci::Document document = BH_TRY(oci::parse_document(content, top.media_type));
    if (const auto* index = std::get_if<oci::Index>(&document)) {
      oci::Index part = *index;
      part.manifests = BH_TRY(chosen(*index));
      const auto is_image = [](const oci::Descriptor& one) { return !oci::is_attestation(one); };
      if (part.manifests.size() != index->manifests.size()) {
        if (std::ranges::count_if(part.manifests, is_image) == 1) {
          top = *std::ranges::find_if(part.manifests, is_image);
          BH_TRY(gather(top, 0));
          return std::move(plan_);
        }
        content = part.serialise();
        top.digest = BH_TRY(hash::digest_of(as_bytes(content)));
        top.size = content.size();
      }
      for (const oci::Descriptor& child : part.manifests) {
        BH_TRY(gather(child, 1));
      }
      top.media_type = index->media_type;
      plan_.documents.push_back({std::move(top), std::move(content)});
      return std::move(plan_);
    }
    BH_TRY(gather(top, 0));
    return std::move(plan_);
  }

 private:
  Result<std::string> read(const oci::Descriptor& descriptor) const {
    std::string content = BH_TRY(store_.read_blob(descriptor.digest, oci::kLargestDocument));
    const Digest digest = BH_TRY(hash::digest_of(as_bytes(content), descriptor.digest.algorithm()));
    if (digest != descriptor.digest) {
      return fail(ErrorCode::Corrupt, "blob {} is damaged: pull or load it again",
                  descriptor.digest.text());
    }
    return content;
  }

  /// The entries of the index that go, in its order.
  Result<std::vector<oci::Descriptor>> chosen(const oci::Index& index) const {
    const auto is_here = [&](const oci::Descriptor& one) { return store_.has_blob(one.digest); };
    const bool is_complete = std::ranges::all_of(index.manifests, is_here);
    if (options_.platforms.empty() && !options_.all_platforms && is_complete) {
      return index.manifests;
    }
    std::vector<Digest> wanted;
    for (const oci::Platform& platform : options_.platforms) {
      const oci::Descriptor one = BH_TRY(oci::select_platform(index, platform));
      if (!store_.has_blob(one.digest)) {
        return fail(ErrorCode::NotFound, "platform {} was not pulled", platform.text());
      }
      wanted.push_back(one.digest);
    }
    if (options_.platforms.empty() && !options_.all_platforms) {
      wanted.push_back(record_.manifest);
    }
    std::vector<oci::Descriptor> entries;
    for (const oci::Descriptor& entry : index.manifests) {
      const auto about = entry.annotations.find(std::string(oci::kAttestedDigest));
      const bool is_wanted =
          options_.all_platforms || std::ranges::any_of(wanted, [&](const Digest& digest) {
            return entry.digest == digest ||
                   (about != entry.annotations.end() && about->second == digest.text());
          });
      if (is_wanted && store_.has_blob(entry.digest)) {
        entries.push_back(entry);
      }
    }
    if (entries.empty()) {
      // The one that runs is within a nested index.
      std::string content = BH_TRY(store_.read_blob(record_.manifest, oci::kLargestDocument));
      const oci::Manifest manifest = BH_TRY(oci::parse_manifest(content));
      entries.push_back(
          {.media_type = manifest.media_type, .digest = record_.manifest, .size = content.size()});
    }
    return entries;
  }

  Result<> gather(const oci::Descriptor& descriptor, int depth) {
    if (depth > kDeepestIndex) {
      return fail(ErrorCode::Invalid, "indexes are nested more than {} deep", kDeepestIndex);
    }
    std::string content = BH_TRY(read(descriptor));
    oci::Descriptor self = descriptor;
    const oci::Document document = BH_TRY(oci::parse_document(content, descriptor.media_type)
                                              .context("manifest " + descriptor.digest.text()));
    if (const auto* manifest = std::get_if<oci::Manifest>(&document)) {
      self.media_type = manifest->media_type;
      BH_TRY(add_blob(manifest->config));
      for (const oci::Descriptor& layer : manifest->layers) {
        BH_TRY(add_blob(layer));
      }
    } else {
      const auto& index = std::get<oci::Index>(document);
      self.media_type = index.media_type;
      for (const oci::Descriptor& child : index.manifests) {
        BH_TRY(gather(child, depth + 1));
      }
    }
    plan_.documents.push_back({std::move(self), std::move(content)});
    return {};
  }

  Result<> add_blob(const oci::Descriptor& blob) {
    if (store_.has_blob(blob.digest)) {
      plan_.blobs.emplace(blob.digest, blob);
      return {};
    }
    if (oci::is_foreign_layer(blob.media_type)) {
      return {};  // is where its URLs say
    }
    return fail(ErrorCode::NotFound, "blob {} is not here: pull or load the image again",
                blob.digest.text());
  }

  const store::Store& store_;
  const store::ImageRecord& record_;
  const PushOptions& options_;
  Plan plan_;
};

/// A file from an offset on. Owns the descriptor.
class FilePartReader final : public oci::BlobReader {
 public:
  FilePartReader(os::UniqueFd fd, std::uint64_t offset) : fd_(std::move(fd)), offset_(offset) {}

  Result<std::size_t> read(MutableBytes buffer) override {
    const std::size_t n = BH_TRY(os::pread_some(fd_.get(), buffer, offset_));
    offset_ += n;
    return n;
  }

 private:
  os::UniqueFd fd_;
  std::uint64_t offset_;
};

class Pusher {
 public:
  Pusher(store::Store& store, registry::Client& client, const PushOptions& options)
      : store_(store), client_(client), options_(options) {}

  Result<> send_blobs(const Plan& plan) {
    sources_ = BH_TRY(mount_sources());
    std::vector<const oci::Descriptor*> queue;
    queue.reserve(plan.blobs.size());
    for (const auto& [digest, descriptor] : plan.blobs) {
      queue.push_back(&descriptor);
    }
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      while (!has_failed()) {
        const std::size_t index = next++;
        if (index >= queue.size()) {
          return;
        }
        if (auto sent = send_blob(*queue[index]); !sent) {
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

  Result<> send_documents(const Plan& plan) {
    const Digest& top = plan.documents.back().descriptor.digest;
    for (const NamedDocument& document : plan.documents) {
      const Digest& digest = document.descriptor.digest;
      const std::string name = digest == top ? client_.reference().tag_or_digest() : digest.text();
      BH_TRY(client_.push_manifest(document.content, document.descriptor.media_type, name, digest));
    }
    return {};
  }

 private:
  bool has_failed() {
    const std::lock_guard guard(mutex_);
    return failure_.has_value();
  }

  template <class Tell>
  void tell(Tell tell) {
    if (options_.progress != nullptr) {
      const std::lock_guard guard(mutex_);
      tell(*options_.progress);
    }
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
    const bool is_there = BH_TRY(client_.has_blob(blob.digest).context(what));
    if (!is_there) {
      bool is_started = false;
      const auto open = [&](std::uint64_t offset) -> Result<std::unique_ptr<oci::BlobReader>> {
        if (!std::exchange(is_started, true)) {
          tell([&](Progress& progress) { progress.layer_started(blob.digest, blob.size); });
        }
        os::UniqueFd fd = BH_TRY(os::open_file(store_.layout().blob(blob.digest), O_RDONLY));
        return std::make_unique<FilePartReader>(std::move(fd), offset);
      };
      registry::Client::UploadOptions upload{.chunk_bytes = options_.chunk_bytes};
      if (const auto source = sources_.find(blob.digest); source != sources_.end()) {
        upload.mount_from = source->second;
      }
      const auto result = BH_TRY(client_.push_blob(blob, open, upload).context(what));
      if (result == registry::Client::Upload::Sent) {
        tell([&](Progress& progress) { progress.layer_finished(blob.digest); });
        return {};
      }
    }
    tell([&](Progress& progress) { progress.layer_present(blob.digest); });
    return {};
  }

  store::Store& store_;
  registry::Client& client_;
  const PushOptions& options_;
  std::map<Digest, std::string> sources_;
  std::mutex mutex_;  ///< of what follows, and of the progress
  std::optional<Error> failure_;
};

}  // namespace

Result<oci::Descriptor> push(store::Store& store, const std::string& name, registry::Client& client,
                             const PushOptions& options) {
  // Held to the end, so that nothing is collected meanwhile.
  const os::FileLock use =
      BH_TRY(os::FileLock::acquire(store.layout().content_lock(), os::FileLock::Mode::Shared));
  const std::optional<store::ImageRecord> record = BH_TRY(store.find_record(name));
  if (!record) {
    return fail(ErrorCode::NotFound, "image {}: not found", quote(name));
  }
  const Plan plan =
      BH_TRY(Planner(store, *record, options).make().context("image " + record->reference));
  const oci::Descriptor& top = plan.documents.back().descriptor;
  const std::optional<Digest>& promised = client.reference().digest();
  if (promised && *promised != top.digest) {
    return fail(ErrorCode::Invalid, "image {}: its digest is {}, not {}", record->reference,
                top.digest.text(), promised->text());
  }
  if (options.progress != nullptr) {
    options.progress->image(client.reference().text());
  }
  Pusher pusher(store, client, options);
  BH_TRY(pusher.send_blobs(plan));
  BH_TRY(pusher.send_documents(plan));
  return top;
}

}  // namespace bulkhead::images
