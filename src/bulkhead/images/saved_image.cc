#include "bulkhead/images/saved_image.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/save.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using Blobs = std::map<Digest, std::uint64_t>;

/// Deeper than fetch() lets anything in.
constexpr int kDeepestIndex = 6;

class Selector {
 public:
  Selector(const store::Store& store, const store::ImageRecord& record, const SaveOptions& options)
      : store_(store), record_(record), options_(options) {}

  Result<SavedImage> run() {
    const oci::Document document = BH_TRY(read(record_.target));
    const auto* index = std::get_if<oci::Index>(&document);
    if (index == nullptr) {
      BH_TRY(check_platform_of_single());
      return whole(record_.target);
    }
    if (options_.platforms.empty()) {
      Blobs blobs;
      if (BH_TRY(collect(record_.target, blobs, 0))) {
        return SavedImage{.top = record_.target, .blobs = std::move(blobs), .made = {}};
      }
    }
    return part(*index);
  }

  Result<oci::Descriptor> one() {
    if (options_.platforms.size() > 1 || options_.all_platforms) {
      return fail(ErrorCode::Invalid, "a docker-archive holds one platform of an image");
    }
    const oci::Document document = BH_TRY(read(record_.target));
    const auto* index = std::get_if<oci::Index>(&document);
    if (index == nullptr) {
      BH_TRY(check_platform_of_single());
      return record_.target;
    }
    return options_.platforms.empty() ? own_manifest(*index)
                                      : find(*index, options_.platforms.front());
  }

 private:
  Result<oci::Document> read(const oci::Descriptor& descriptor) {
    const std::string content = BH_TRY(store_.read_blob(descriptor.digest, oci::kLargestDocument)
                                           .context("blob " + descriptor.digest.text()));
    return oci::parse_document(content, descriptor.media_type);
  }

  Result<> check_platform_of_single() {
    for (const oci::Platform& platform : options_.platforms) {
      const auto acceptable = oci::acceptable_platforms(platform);
      if (std::ranges::find(acceptable, record_.platform) == acceptable.end()) {
        return not_here(platform);
      }
    }
    return {};
  }

  static Error not_here(const oci::Platform& platform) {
    return fail(ErrorCode::NotFound,
                "its content for {} is not here: pull it with --platform first", platform.text());
  }

  Result<SavedImage> whole(const oci::Descriptor& top) {
    Blobs blobs;
    if (!BH_TRY(collect(top, blobs, 0))) {
      return fail(ErrorCode::Corrupt, "content of it is missing: pull or load it again");
    }
    return SavedImage{.top = top, .blobs = std::move(blobs), .made = {}};
  }

  /// Adds a descriptor's blob and all that it names. False when something is not here.
  Result<bool> collect(const oci::Descriptor& descriptor, Blobs& blobs, int depth) {
    if (depth > kDeepestIndex || !store_.has_blob(descriptor.digest)) {
      return false;
    }
    blobs[descriptor.digest] = descriptor.size;
    if (!oci::document_kind(descriptor.media_type)) {
      return true;
    }
    const oci::Document document = BH_TRY(read(descriptor));
    for (const oci::Descriptor& child : children_of(document)) {
      if (!oci::is_foreign_layer(child.media_type) && !BH_TRY(collect(child, blobs, depth + 1))) {
        return false;
      }
    }
    return true;
  }

  static std::vector<oci::Descriptor> children_of(const oci::Document& document) {
    if (const auto* index = std::get_if<oci::Index>(&document)) {
      return index->manifests;
    }
    const auto& manifest = std::get<oci::Manifest>(document);
    std::vector<oci::Descriptor> children = manifest.layers;
    children.push_back(manifest.config);
    return children;
  }

  /// The manifest that the record runs, with its platform if the index says it.
  Result<oci::Descriptor> own_manifest(const oci::Index& index) {
    for (const oci::Descriptor& entry : BH_TRY(flattened(index, 0))) {
      if (entry.digest == record_.manifest) {
        return entry;
      }
    }
    return fail(ErrorCode::Corrupt, "its index does not name its manifest");
  }

  /// The entries of an index and of the indexes in it that are here.
  Result<std::vector<oci::Descriptor>> flattened(const oci::Index& index, int depth) {
    std::vector<oci::Descriptor> entries;
    for (const oci::Descriptor& entry : index.manifests) {
      if (oci::document_kind(entry.media_type) != oci::DocumentKind::Index) {
        entries.push_back(entry);
        continue;
      }
      if (depth < kDeepestIndex && store_.has_blob(entry.digest)) {
        const oci::Document inner = BH_TRY(read(entry));
        const auto* inner_index = std::get_if<oci::Index>(&inner);
        if (inner_index != nullptr) {
          std::vector<oci::Descriptor> more = BH_TRY(flattened(*inner_index, depth + 1));
          std::ranges::move(more, std::back_inserter(entries));
        }
      }
    }
    return entries;
  }

  Result<oci::Descriptor> find(const oci::Index& index, const oci::Platform& platform) {
    std::vector<oci::Descriptor> entries = BH_TRY(flattened(index, 0));
    const oci::Index flat{.media_type = index.media_type, .manifests = std::move(entries)};
    auto found = oci::select_platform(flat, platform);
    Blobs blobs;
    if (!found) {
      return std::move(found).error();
    }
    if (!BH_TRY(collect(*found, blobs, 0))) {
      return not_here(platform);
    }
    return found;
  }

  /// The manifests that were asked for and what attests them.
  Result<SavedImage> part(const oci::Index& index) {
    std::vector<oci::Descriptor> chosen;
    const std::vector<oci::Descriptor> entries = BH_TRY(flattened(index, 0));
    if (options_.all_platforms) {
      chosen = BH_TRY(present(entries));
    } else if (options_.platforms.empty()) {
      oci::Descriptor own = BH_TRY(own_manifest(index));
      chosen.push_back(std::move(own));
    }
    for (const oci::Platform& platform : options_.platforms) {
      const oci::Descriptor found = BH_TRY(find(index, platform));
      if (std::ranges::find(chosen, found) == chosen.end()) {
        chosen.push_back(found);
      }
    }
    const std::vector<oci::Descriptor> attestations = BH_TRY(attestations_of(entries, chosen));
    chosen.insert(chosen.end(), attestations.begin(), attestations.end());
    if (chosen.size() == 1) {
      return whole(chosen.front());
    }
    Blobs blobs;
    for (const oci::Descriptor& one : chosen) {
      if (!BH_TRY(collect(one, blobs, 0))) {
        return fail(ErrorCode::Corrupt, "content of it is missing: pull or load it again");
      }
    }
    const oci::Index made{.media_type = index.media_type,
                          .manifests = std::move(chosen),
                          .annotations = index.annotations,
                          .artifact_type = index.artifact_type,
                          .subject = index.subject};
    std::string text = made.serialise();
    Digest digest = BH_TRY(hash::digest_of(as_bytes(text)));
    return SavedImage{
        .top = {.media_type = index.media_type, .digest = std::move(digest), .size = text.size()},
        .blobs = std::move(blobs),
        .made = std::move(text)};
  }

  Result<std::vector<oci::Descriptor>> present(const std::vector<oci::Descriptor>& entries) {
    std::vector<oci::Descriptor> here;
    for (const oci::Descriptor& entry : entries) {
      Blobs blobs;
      if (!oci::is_attestation(entry) && BH_TRY(collect(entry, blobs, 0))) {
        here.push_back(entry);
      }
    }
    return here;
  }

  Result<std::vector<oci::Descriptor>> attestations_of(const std::vector<oci::Descriptor>& entries,
                                                       const std::vector<oci::Descriptor>& chosen) {
    std::vector<oci::Descriptor> found;
    for (const oci::Descriptor& entry : entries) {
      const auto about = entry.annotations.find(std::string(oci::kAttestedDigest));
      const auto is_it = [&](const oci::Descriptor& one) {
        return about != entry.annotations.end() && one.digest.text() == about->second;
      };
      Blobs blobs;
      if (std::ranges::any_of(chosen, is_it) && BH_TRY(collect(entry, blobs, 0))) {
        found.push_back(entry);
      }
    }
    return found;
  }

  const store::Store& store_;
  const store::ImageRecord& record_;
  const SaveOptions& options_;
};

}  // namespace

Result<SavedImage> select_saved(const store::Store& store, const store::ImageRecord& record,
                                const SaveOptions& options) {
  return Selector(store, record, options).run();
}

Result<oci::Descriptor> select_one(const store::Store& store, const store::ImageRecord& record,
                                   const SaveOptions& options) {
  return Selector(store, record, options).one();
}

}  // namespace bulkhead::images
