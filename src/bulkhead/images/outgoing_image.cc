#include "bulkhead/images/outgoing_image.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

/// Deeper than fetch() lets anything in.
constexpr int kDeepestIndex = 6;

std::vector<oci::Descriptor> children_of(const oci::Document& document) {
  if (const auto* index = std::get_if<oci::Index>(&document)) {
    return index->manifests;
  }
  const auto& manifest = std::get<oci::Manifest>(document);
  std::vector<oci::Descriptor> children = manifest.layers;
  children.push_back(manifest.config);
  return children;
}

class Selector {
 public:
  Selector(const store::Store& store, const store::ImageRecord& record,
           const PlatformSelection& selection)
      : store_(store), record_(record), selection_(selection) {}

  Result<OutgoingImage> run() {
    const oci::Document document = BH_TRY(read(record_.target));
    const auto* index = std::get_if<oci::Index>(&document);
    if (index == nullptr) {
      BH_TRY(check_platform_of_single());
      return whole(record_.target);
    }
    if (selection_.platforms.empty() && BH_TRY(add(record_.target))) {
      return std::move(image_);
    }
    return part(*index);
  }

  Result<oci::Descriptor> one() {
    if (selection_.platforms.size() > 1 || selection_.all) {
      return fail(ErrorCode::Invalid, "a docker-archive holds one platform of an image");
    }
    if (!record_.chain) {
      return fail(ErrorCode::Unsupported,
                  "it is an artifact of type {}, and a docker-archive holds images",
                  quote(record_.artifact_type));
    }
    const oci::Document document = BH_TRY(read(record_.target));
    const auto* index = std::get_if<oci::Index>(&document);
    if (index == nullptr) {
      BH_TRY(check_platform_of_single());
      return record_.target;
    }
    const oci::Index flat = BH_TRY(flattened(*index));
    return selection_.platforms.empty() ? own_manifest(flat)
                                        : find(flat, selection_.platforms.front());
  }

 private:
  Result<oci::Document> read(const oci::Descriptor& descriptor) const {
    const std::string content = BH_TRY(read_document(store_, descriptor));
    return oci::parse_document(content, descriptor.media_type)
        .context("manifest " + descriptor.digest.text());
  }

  Result<> check_platform_of_single() const {
    if (!record_.chain && !selection_.platforms.empty()) {
      return fail(ErrorCode::Invalid, "it is an artifact of type {}, which is for no platform",
                  quote(record_.artifact_type));
    }
    for (const oci::Platform& platform : selection_.platforms) {
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

  Result<OutgoingImage> whole(const oci::Descriptor& top) {
    if (!BH_TRY(add(top))) {
      return fail(ErrorCode::Corrupt, "content of it is missing: pull or load it again");
    }
    return std::move(image_);
  }

  /// Adds a blob and all that it names; false, and nothing of it, when something is not here.
  Result<bool> add(const oci::Descriptor& top) {
    const std::size_t documents = image_.documents.size();
    const std::size_t blobs = image_.blobs.size();
    const bool is_here = BH_TRY(add_below(top, 0));
    if (!is_here) {
      take_back(image_.documents, documents);
      take_back(image_.blobs, blobs);
    }
    return is_here;
  }

  Result<bool> add_below(const oci::Descriptor& descriptor, int depth) {
    if (added_.contains(descriptor.digest)) {
      return true;
    }
    if (depth > kDeepestIndex || !store_.has_blob(descriptor.digest)) {
      return false;
    }
    if (oci::document_kind(descriptor.media_type)) {
      const oci::Document document = BH_TRY(read(descriptor));
      for (const oci::Descriptor& child : children_of(document)) {
        if (BH_TRY(add_below(child, depth + 1))) {
          continue;
        }
        // A foreign layer that is not here is where its URLs say.
        if (!oci::is_foreign_layer(child.media_type)) {
          return false;
        }
      }
      image_.documents.push_back(descriptor);
    } else {
      image_.blobs.push_back(descriptor);
    }
    added_.insert(descriptor.digest);
    return true;
  }

  void take_back(std::vector<oci::Descriptor>& list, std::size_t size) {
    while (list.size() > size) {
      added_.erase(list.back().digest);
      list.pop_back();
    }
  }

  /// The index with the entries of the indexes in it that are here in their places.
  Result<oci::Index> flattened(const oci::Index& index) const {
    oci::Index flat = index;
    flat.manifests.clear();
    BH_TRY(add_flattened(index, 0, flat.manifests));
    return flat;
  }

  Result<> add_flattened(const oci::Index& index, int depth,
                         std::vector<oci::Descriptor>& entries) const {
    for (const oci::Descriptor& entry : index.manifests) {
      if (oci::document_kind(entry.media_type) != oci::DocumentKind::Index) {
        entries.push_back(entry);
      } else if (depth < kDeepestIndex && store_.has_blob(entry.digest)) {
        const std::string content = BH_TRY(read_document(store_, entry));
        const oci::Index inner = BH_TRY(oci::parse_index(content, entry.media_type));
        BH_TRY(add_flattened(inner, depth + 1, entries));
      }
    }
    return {};
  }

  /// The manifest that the record runs, with its platform if the index says it.
  [[nodiscard]] Result<oci::Descriptor> own_manifest(const oci::Index& flat) const {
    const auto own = std::ranges::find(flat.manifests, record_.manifest, &oci::Descriptor::digest);
    if (own == flat.manifests.end()) {
      return fail(ErrorCode::Corrupt, "its index does not name its manifest");
    }
    return *own;
  }

  Result<oci::Descriptor> find(const oci::Index& flat, const oci::Platform& platform) {
    oci::Descriptor found = BH_TRY(oci::select_platform(flat, platform));
    if (!BH_TRY(add(found))) {
      return not_here(platform);
    }
    return found;
  }

  /// The digests of the manifests that were asked for, after adding them.
  Result<std::set<Digest>> add_chosen(const oci::Index& flat) {
    std::set<Digest> chosen;
    if (selection_.all) {
      for (const oci::Descriptor& entry : flat.manifests) {
        if (!oci::is_attestation(entry) && BH_TRY(add(entry))) {
          chosen.insert(entry.digest);
        }
      }
    } else if (selection_.platforms.empty()) {
      const oci::Descriptor own = BH_TRY(own_manifest(flat));
      if (BH_TRY(add(own))) {
        chosen.insert(own.digest);
      }
    }
    for (const oci::Platform& platform : selection_.platforms) {
      const oci::Descriptor found = BH_TRY(find(flat, platform));
      chosen.insert(found.digest);
    }
    return chosen;
  }

  /// The manifests that were asked for and what attests them.
  Result<OutgoingImage> part(const oci::Index& index) {
    oci::Index made = BH_TRY(flattened(index));
    const std::set<Digest> chosen = BH_TRY(add_chosen(made));
    if (chosen.empty()) {
      return fail(ErrorCode::Corrupt, "content of it is missing: pull or load it again");
    }
    std::vector<oci::Descriptor> entries;
    for (oci::Descriptor& entry : made.manifests) {
      const std::optional<Digest> about = oci::attested_digest(entry);
      const bool goes =
          chosen.contains(entry.digest) || (about && chosen.contains(*about) && BH_TRY(add(entry)));
      if (goes) {
        entries.push_back(std::move(entry));
      }
    }
    if (entries == index.manifests) {  // all of it was asked for, piece by piece
      image_.documents.push_back(record_.target);
      return std::move(image_);
    }
    if (image_.documents.size() == 1) {
      return std::move(image_);
    }
    made.manifests = std::move(entries);
    std::string text = made.serialise();
    Digest digest = BH_TRY(hash::digest_of(as_bytes(text)));
    image_.documents.push_back(
        {.media_type = made.media_type, .digest = std::move(digest), .size = text.size()});
    image_.made = std::move(text);
    return std::move(image_);
  }

  const store::Store& store_;
  const store::ImageRecord& record_;
  const PlatformSelection& selection_;
  OutgoingImage image_;
  std::set<Digest> added_;  ///< what of it there is already
};

}  // namespace

Result<OutgoingImage> select_outgoing(const store::Store& store, const store::ImageRecord& record,
                                      const PlatformSelection& selection) {
  return Selector(store, record, selection).run();
}

Result<oci::Descriptor> select_one(const store::Store& store, const store::ImageRecord& record,
                                   const PlatformSelection& selection) {
  return Selector(store, record, selection).one();
}

Result<std::string> read_document(const store::Store& store, const oci::Descriptor& descriptor) {
  std::string content = BH_TRY(store.read_blob(descriptor.digest, oci::kLargestDocument)
                                   .context("blob " + descriptor.digest.text()));
  const Digest digest = BH_TRY(hash::digest_of(as_bytes(content), descriptor.digest.algorithm()));
  if (digest != descriptor.digest) {
    return fail(ErrorCode::Corrupt, "blob {} is damaged: pull or load it again",
                descriptor.digest.text());
  }
  return content;
}

}  // namespace bulkhead::images
