#include "bulkhead/images/fetch.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

/// An index in an index in an index is more than anybody makes.
constexpr int kDeepestIndex = 4;

class Fetcher {
 public:
  Fetcher(store::Ingest& ingest, oci::BlobSource& source, const oci::Reference& reference,
          const FetchOptions& options)
      : ingest_(ingest), source_(source), reference_(reference), options_(options) {}

  Result<store::ImageRecord> run() {
    oci::BlobSource::Resolved top = BH_TRY(source_.resolve(reference_));
    BH_TRY(check_document(top));
    oci::Descriptor target = top.descriptor;
    Chosen chosen = BH_TRY(choose(std::move(top)));
    const oci::ImageConfig config = BH_TRY(fetch_config(chosen.manifest.config));
    BH_TRY(check_layers(chosen.manifest, config));
    target.media_type = top_media_type_;
    const Digest chain = BH_TRY(chain_id(config.diff_ids));
    store::ImageRecord record{.reference = reference_.text(),
                              .target = std::move(target),
                              .manifest = chosen.digest,
                              .config = chosen.manifest.config.digest,
                              .chain = chain,
                              .platform = config.platform,
                              .created = config.created};
    edges_.push_back({chosen.digest, record.config});
    BH_TRY(ingest_.lock_chain(record.chain));
    record.size_bytes = BH_TRY(fetch_layers(chosen, config, record.chain));
    BH_TRY(ingest_.publish(record, edges_));
    return record;
  }

 private:
  struct Chosen {
    Digest digest;
    oci::Manifest manifest;
  };

  /// A document against its descriptor and, for the first, against the reference.
  Result<> check_document(const oci::BlobSource::Resolved& document) {
    const Digest digest =
        BH_TRY(hash::digest_of(as_bytes(document.content), document.descriptor.digest.algorithm()));
    if (document.content.size() != document.descriptor.size ||
        digest != document.descriptor.digest) {
      return fail(ErrorCode::Corrupt,
                  "manifest {}: its content does not match: it has {}, {} bytes",
                  document.descriptor.digest.text(), digest.text(), document.content.size());
    }
    if (edges_.empty() && reference_.digest() && *reference_.digest() != digest) {
      return fail(ErrorCode::Corrupt, "manifest {}: the source answered with {}",
                  reference_.digest()->text(), digest.text());
    }
    return ingest_.keep(document.content, digest);
  }

  /// Walks from the top to the manifest for the platform.
  Result<Chosen> choose(oci::BlobSource::Resolved document) {
    for (int depth = 0; depth < kDeepestIndex; ++depth) {
      const Digest digest = document.descriptor.digest;
      oci::Document parsed =
          BH_TRY(oci::parse_document(document.content, document.descriptor.media_type)
                     .context("manifest " + digest.text()));
      if (depth == 0) {
        top_media_type_ = std::visit([](const auto& one) { return one.media_type; }, parsed);
      }
      if (auto* manifest = std::get_if<oci::Manifest>(&parsed)) {
        return Chosen{digest, std::move(*manifest)};
      }
      oci::Descriptor next =
          BH_TRY(oci::select_platform(std::get<oci::Index>(parsed), options_.platform));
      edges_.push_back({digest, next.digest});
      std::string content = BH_TRY(fetch_small(next));
      document = {.descriptor = std::move(next), .content = std::move(content)};
      BH_TRY(check_document(document));
    }
    return fail(ErrorCode::Invalid, "indexes are nested more than {} deep", kDeepestIndex);
  }

  /// A blob that is read into memory: a manifest or a config.
  Result<std::string> fetch_small(const oci::Descriptor& descriptor) {
    const std::string what = "blob " + descriptor.digest.text();
    if (descriptor.size > oci::kLargestDocument) {
      return fail(ErrorCode::ResourceExhausted, "{}: {} bytes, at most {} are read", what,
                  descriptor.size, oci::kLargestDocument);
    }
    const std::unique_ptr<archive::Reader> reader = BH_TRY(open(descriptor));
    BoundedReader bounded(*reader, descriptor.size);
    return archive::read_all(bounded, oci::kLargestDocument).context(what);
  }

  /// From the session or the store if it is there, else from the source.
  Result<std::unique_ptr<archive::Reader>> open(const oci::Descriptor& descriptor) {
    if (ingest_.has(descriptor.digest)) {
      return std::unique_ptr<archive::Reader>(
          std::make_unique<FileReader>(BH_TRY(ingest_.open(descriptor.digest))));
    }
    return std::unique_ptr<archive::Reader>(
        std::make_unique<SourceReader>(BH_TRY(source_.open(descriptor))));
  }

  Result<oci::ImageConfig> fetch_config(const oci::Descriptor& descriptor) {
    if (!oci::is_image_config(descriptor.media_type)) {
      return fail(ErrorCode::Unsupported, "it is no container image but an artifact of type {}",
                  quote(descriptor.media_type));
    }
    const std::string content = BH_TRY(fetch_small(descriptor));
    const Digest digest = BH_TRY(hash::digest_of(as_bytes(content), descriptor.digest.algorithm()));
    if (digest != descriptor.digest || content.size() != descriptor.size) {
      return fail(ErrorCode::Corrupt,
                  "image config {}: its content does not match: it has {}, {} bytes",
                  descriptor.digest.text(), digest.text(), content.size());
    }
    oci::ImageConfig config = BH_TRY(oci::ImageConfig::parse(content));
    const std::vector<oci::Platform> acceptable = oci::acceptable_platforms(options_.platform);
    if (std::ranges::find(acceptable, config.platform) == acceptable.end()) {
      return fail(ErrorCode::Unsupported, "it is for {}, but {} is needed", config.platform.text(),
                  options_.platform.text());
    }
    BH_TRY(ingest_.keep(content, digest));
    return config;
  }

  static Result<> check_layers(const oci::Manifest& manifest, const oci::ImageConfig& config) {
    if (manifest.layers.size() != config.diff_ids.size()) {
      return fail(ErrorCode::Invalid, "its manifest has {} layers, its config {}",
                  manifest.layers.size(), config.diff_ids.size());
    }
    for (const oci::Descriptor& layer : manifest.layers) {
      if (oci::is_foreign_layer(layer.media_type)) {
        return fail(ErrorCode::Unsupported,
                    "layer {}: it is not distributable: its bytes are elsewhere, and are not "
                    "fetched from there",
                    layer.digest.text());
      }
      if (!oci::is_layer(layer.media_type)) {
        return fail(ErrorCode::Unsupported, "layer {}: media type {} is no root file system layer",
                    layer.digest.text(), quote(layer.media_type));
      }
    }
    return {};
  }

  /// Returns the bytes of all tar streams.
  Result<std::uint64_t> fetch_layers(const Chosen& chosen, const oci::ImageConfig& config,
                                     const Digest& chain) {
    const std::optional<std::uint64_t> present = BH_TRY(ingest_.root(chain));
    std::optional<os::UniqueFd> file;
    std::optional<ext4::Formatter> formatter;
    if (!present) {
      file = BH_TRY(ingest_.create_root());
      formatter = BH_TRY(ext4::Formatter::create(file->get(), {}));
    }
    std::uint64_t total = 0;
    for (std::size_t index = 0; index < config.diff_ids.size(); ++index) {
      const oci::Descriptor& layer = chosen.manifest.layers[index];
      edges_.push_back({chosen.digest, layer.digest});
      const bool is_kept = ingest_.has(layer.digest);
      if (present && is_kept) {
        if (options_.progress != nullptr) {
          options_.progress->layer_present(layer.digest);
        }
        continue;
      }
      const std::unique_ptr<archive::Reader> reader =
          BH_TRY(open(layer).context("layer " + layer.digest.text()));
      total += BH_TRY(stream_layer(*reader, {.descriptor = layer,
                                             .diff_id = config.diff_ids[index],
                                             .formatter = formatter ? &*formatter : nullptr,
                                             .keep_in = is_kept ? nullptr : &ingest_,
                                             .most_tar_bytes = kMostUnpackedBytes - total,
                                             .progress = options_.progress}));
    }
    if (formatter) {
      BH_TRY((*std::move(formatter)).finish().context("write root"));
    }
    return present.value_or(total);
  }

  store::Ingest& ingest_;
  oci::BlobSource& source_;
  const oci::Reference& reference_;
  const FetchOptions& options_;
  std::vector<store::Edge> edges_;
  std::string top_media_type_;
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
