#include "bulkhead/images/fetch.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/images/checked_source.h"
#include "bulkhead/images/fetch_layers.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

/// An index in an index in an index is more than anybody makes.
constexpr int kDeepestIndex = 4;
/// Nested indexes that do not say what they are for are looked into, but not without end.
constexpr int kMostIndexes = 64;

class Fetcher {
 public:
  Fetcher(store::Ingest& ingest, oci::BlobSource& source, const oci::Reference& reference,
          const FetchOptions& options)
      : ingest_(ingest),
        source_(ingest, source),
        reference_(reference),
        options_(options),
        progress_(options.progress) {}

  Result<store::ImageRecord> run() {
    oci::BlobSource::Resolved top = BH_TRY(source_.resolve(reference_));
    oci::Descriptor target = top.descriptor;
    oci::Document document = BH_TRY(oci::parse_document(top.content, top.descriptor.media_type)
                                        .context("manifest " + top.descriptor.digest.text()));
    target.media_type = std::visit([](const auto& one) { return one.media_type; }, document);
    const Chosen chosen =
        BH_TRY(choose({target.digest, std::move(document)}, options_.platform, 0));
    return oci::is_artifact(chosen.manifest) ? bring_artifact(std::move(target), chosen)
                                             : bring_image(std::move(target), chosen);
  }

 private:
  struct Chosen {
    Digest digest;
    oci::Manifest manifest;
  };

  struct Parsed {
    Digest digest;
    oci::Document document;
  };

  struct KnownIndex {
    Digest digest;
    oci::Index index;
  };

  Result<store::ImageRecord> bring_image(oci::Descriptor target, const Chosen& chosen) {
    const oci::ImageConfig config = BH_TRY(fetch_config(chosen.manifest.config));
    BH_TRY(check_layers(chosen.manifest, config));
    const Digest chain = BH_TRY(chain_id(config.diff_ids));
    store::ImageRecord record{.reference = reference_.text(),
                              .target = std::move(target),
                              .manifest = chosen.digest,
                              .config = chosen.manifest.config.digest,
                              .chain = chain,
                              .platform = config.platform,
                              .created = config.created};
    edges_.push_back({chosen.digest, record.config});
    BH_TRY(ingest_.lock_chain(chain));
    const std::vector<ImageLayer> layers = layers_of(chosen.manifest, config);
    record.size_bytes = BH_TRY(fetch_layers(
        ingest_, source_, {.layers_at_once = options_.layers_at_once, .progress = progress_},
        layers, chain));
    std::vector<store::RootLayer> root_layers;
    for (const ImageLayer& layer : layers) {
      edges_.push_back({chosen.digest, layer.blob.digest});
      root_layers.push_back({.blob = layer.blob.digest, .diff_id = layer.diff_id});
    }
    BH_TRY(keep_companions(chosen.digest));
    BH_TRY(ingest_.publish(record, edges_, root_layers));
    return record;
  }

  /// Its id is that of its manifest: many artifacts share one empty config.
  Result<store::ImageRecord> bring_artifact(oci::Descriptor target, const Chosen& chosen) {
    store::ImageRecord record{.reference = reference_.text(),
                              .target = std::move(target),
                              .manifest = chosen.digest,
                              .config = chosen.digest,
                              .artifact_type = oci::artifact_type_of(chosen.manifest)};
    const auto created = chosen.manifest.annotations.find("org.opencontainers.image.created");
    if (created != chosen.manifest.annotations.end() && parse_rfc3339(created->second)) {
      record.created = created->second;
    }
    for (const oci::Descriptor& layer : chosen.manifest.layers) {
      record.size_bytes += layer.size;
    }
    BH_TRY(keep_manifest(chosen.digest, chosen.manifest));
    BH_TRY(keep_companions(chosen.digest));
    BH_TRY(ingest_.publish(record, edges_, {}));
    return record;
  }

  /// Walks from a document to the manifest for the platform. The indexes on the way are noted.
  Result<Chosen> choose(Parsed parsed, const oci::Platform& platform, int depth) {
    if (auto* manifest = std::get_if<oci::Manifest>(&parsed.document)) {
      return Chosen{parsed.digest, std::move(*manifest)};
    }
    if (depth == kDeepestIndex || ++indexes_seen_ > kMostIndexes) {
      return fail(ErrorCode::Invalid, "indexes are nested more than {} deep, or {} in number",
                  kDeepestIndex, kMostIndexes);
    }
    auto& index = std::get<oci::Index>(parsed.document);
    std::vector<oci::Descriptor> candidates = BH_TRY(oci::select_candidates(index, platform));
    // What says that it is an artifact is taken when there is no image.
    std::ranges::stable_partition(
        candidates, [](const oci::Descriptor& one) { return one.artifact_type.empty(); });
    if (std::ranges::find(indexes_, parsed.digest, &KnownIndex::digest) == indexes_.end()) {
      indexes_.push_back({parsed.digest, std::move(index)});
    }
    std::optional<Error> nothing;
    for (const oci::Descriptor& candidate : candidates) {
      Parsed next = BH_TRY(fetch_document(candidate));
      auto chosen = choose(std::move(next), platform, depth + 1);
      if (chosen) {
        edges_.push_back({parsed.digest, candidate.digest});
        return chosen;
      }
      if (chosen.error().code() != ErrorCode::NotFound) {
        return chosen;
      }
      nothing = std::move(chosen).error();
    }
    return *std::move(nothing);
  }

  Result<Parsed> fetch_document(const oci::Descriptor& descriptor) {
    const std::string content = BH_TRY(source_.document(descriptor));
    oci::Document document = BH_TRY(oci::parse_document(content, descriptor.media_type)
                                        .context("manifest " + descriptor.digest.text()));
    return Parsed{descriptor.digest, std::move(document)};
  }

  /// Attestations of the chosen manifest, and what other platforms were asked for.
  Result<> keep_companions(const Digest& chosen) {
    std::set<std::string> wanted{chosen.text()};
    for (const oci::Platform& platform : options_.more_platforms) {
      if (indexes_.empty()) {
        return fail(ErrorCode::NotFound, "no image for {}: it has one platform only",
                    platform.text());
      }
      Parsed top{indexes_.front().digest, indexes_.front().index};
      indexes_seen_ = 0;
      const Chosen more = BH_TRY(choose(std::move(top), platform, 0));
      BH_TRY(keep_manifest(more.digest, more.manifest).context(platform.text()));
      wanted.insert(more.digest.text());
    }
    for (const KnownIndex& known : indexes_) {
      for (const oci::Descriptor& entry : known.index.manifests) {
        BH_TRY(keep_entry(known.digest, entry, wanted));
      }
    }
    return {};
  }

  /// An entry of an index beside the chosen one.
  Result<> keep_entry(const Digest& index, const oci::Descriptor& entry,
                      const std::set<std::string>& wanted) {
    if (!oci::document_kind(entry.media_type) || wanted.contains(entry.digest.text())) {
      return {};
    }
    const auto about = oci::attested_digest(entry);
    const bool is_wanted = about && wanted.contains(about->text());
    if (!is_wanted && !options_.all_platforms) {
      return {};
    }
    const std::size_t edges_before = edges_.size();
    auto kept = keep_tree(index, entry, 0);
    if (!kept && oci::is_attestation(entry) &&
        (kept.error().code() == ErrorCode::NotFound || kept.error().code() == ErrorCode::Corrupt)) {
      log::warning("attestation {}: {}", entry.digest.text(), kept.error().message());
      edges_.erase(edges_.begin() + static_cast<std::ptrdiff_t>(edges_before), edges_.end());
      return {};
    }
    return kept;
  }

  /// A manifest and what it names, or an index and all that it names, as it comes.
  Result<> keep_tree(const Digest& parent, const oci::Descriptor& entry, int depth) {
    if (depth == kDeepestIndex) {
      return fail(ErrorCode::Invalid, "indexes are nested more than {} deep", kDeepestIndex);
    }
    const Parsed parsed = BH_TRY(fetch_document(entry));
    if (const auto* manifest = std::get_if<oci::Manifest>(&parsed.document)) {
      BH_TRY(keep_manifest(parsed.digest, *manifest));
    } else {
      for (const oci::Descriptor& child : std::get<oci::Index>(parsed.document).manifests) {
        if (oci::document_kind(child.media_type)) {
          BH_TRY(keep_tree(parsed.digest, child, depth + 1));
        }
      }
    }
    edges_.push_back({parent, entry.digest});
    return {};
  }

  Result<> keep_manifest(const Digest& digest, const oci::Manifest& manifest) {
    BH_TRY(source_.blob(manifest.config));
    edges_.push_back({digest, manifest.config.digest});
    for (const oci::Descriptor& layer : manifest.layers) {
      auto kept = source_.blob(layer, &progress_);
      if (!kept && oci::is_foreign_layer(layer.media_type) &&
          kept.error().code() == ErrorCode::NotFound) {
        log::warning("layer {}: {}", layer.digest.text(), kept.error().message());
        continue;
      }
      BH_TRY(std::move(kept));
      edges_.push_back({digest, layer.digest});
    }
    return {};
  }

  Result<oci::ImageConfig> fetch_config(const oci::Descriptor& descriptor) {
    const std::string content = BH_TRY(source_.document(descriptor).context("image config"));
    oci::ImageConfig config = BH_TRY(oci::ImageConfig::parse(content));
    const std::vector<oci::Platform> acceptable = oci::acceptable_platforms(options_.platform);
    if (std::ranges::find(acceptable, config.platform) == acceptable.end()) {
      return fail(ErrorCode::Unsupported, "it is for {}, but {} is needed", config.platform.text(),
                  options_.platform.text());
    }
    return config;
  }

  static Result<> check_layers(const oci::Manifest& manifest, const oci::ImageConfig& config) {
    if (manifest.layers.size() != config.diff_ids.size()) {
      return fail(ErrorCode::Invalid, "its manifest has {} layers, its config {}",
                  manifest.layers.size(), config.diff_ids.size());
    }
    for (const oci::Descriptor& layer : manifest.layers) {
      if (!oci::is_layer(layer.media_type)) {
        return fail(ErrorCode::Unsupported, "layer {}: media type {} is no root file system layer",
                    layer.digest.text(), quote(layer.media_type));
      }
    }
    return {};
  }

  static std::vector<ImageLayer> layers_of(const oci::Manifest& manifest,
                                           const oci::ImageConfig& config) {
    std::vector<ImageLayer> layers;
    layers.reserve(manifest.layers.size());
    for (std::size_t index = 0; index < manifest.layers.size(); ++index) {
      layers.push_back({.blob = manifest.layers[index], .diff_id = config.diff_ids[index]});
    }
    return layers;
  }

  store::Ingest& ingest_;
  CheckedSource source_;
  const oci::Reference& reference_;
  const FetchOptions& options_;
  LockedProgress progress_;
  std::vector<store::Edge> edges_;
  std::vector<KnownIndex> indexes_;  ///< that were chosen from, each once, the outermost first
  int indexes_seen_ = 0;             ///< on the way to one platform
};

}  // namespace

Result<store::ImageRecord> fetch_into(store::Ingest& ingest, oci::BlobSource& source,
                                      const oci::Reference& reference,
                                      const FetchOptions& options) {
  if (options.progress != nullptr) {
    options.progress->image(reference.text());
  }
  return Fetcher(ingest, source, reference, options).run().context("image " + reference.familiar());
}

Result<store::ImageRecord> fetch(store::Store& store, oci::BlobSource& source,
                                 const oci::Reference& reference, const FetchOptions& options) {
  auto record = [&]() -> Result<store::ImageRecord> {
    store::Ingest ingest = BH_TRY(store.begin_ingest());
    return fetch_into(ingest, source, reference, options);
  }();
  if (record) {
    BH_TRY(store.collect_garbage());
  }
  return record;
}

}  // namespace bulkhead::images
