#include <fcntl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/load.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

constexpr int kStandardInput = 0;

struct ImportedLayer {
  oci::Descriptor descriptor;
  Digest diff_id;
  std::uint64_t tar_bytes;
};

/// The media type of what a blob holds; nothing where OCI has none.
std::optional<std::string_view> media_type_of(archive::Compression compression) {
  switch (compression) {
    case archive::Compression::None:
      return oci::kOciLayer;
    case archive::Compression::Gzip:
      return oci::kOciLayerGzip;
    case archive::Compression::Zstd:
      return oci::kOciLayerZstd;
    case archive::Compression::Bzip2:
    case archive::Compression::Xz:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<archive::Compression> compression_of(int blob) {
  std::array<std::byte, archive::kMagicBytes> beginning{};
  const std::size_t size = BH_TRY(os::pread_some(blob, beginning, 0));
  return archive::detect_compression(Bytes(beginning).first(size));
}

/// Reads the tar once: into the layer's blob, as it is where OCI has a media type for its
/// compression, else inflated; and into the root.
Result<ImportedLayer> import_layer(store::Ingest& ingest, archive::InterruptibleReader& file) {
  PeekingReader peeking(file);
  const archive::Compression given =
      archive::detect_compression(BH_TRY(peeking.peek(archive::kMagicBytes)));
  const archive::Compression removed = media_type_of(given) ? archive::Compression::None : given;
  store::BlobWriter empty = BH_TRY(ingest.create_blob());
  RootMaker root = BH_TRY(RootMaker::create(BH_TRY(ingest.create_root())));
  LayerPipe pipe(
      {.most_tar_bytes = kMostUnpackedBytes, .interrupt = [&] { file.interrupt(); }},
      [&] {
        return archive::make_inflater(removed, peeking, {.output_bytes = kMostUnpackedBytes});
      },
      std::move(empty));
  LayerPipe::Finished layer = BH_TRY(pipe.finish(root.apply(pipe.tar())));
  BH_TRY(root.end_layer(layer.diff_id, layer.tar_bytes));
  BH_TRY(root.finish());

  const archive::Compression kept = BH_TRY(compression_of(layer.blob->fd()));
  const std::optional<std::string_view> media_type = media_type_of(kept);
  if (!media_type) {
    return fail(ErrorCode::Unsupported, "it is compressed twice");
  }
  oci::Descriptor descriptor{
      .media_type = std::string(*media_type), .digest = layer.digest, .size = layer.blob->size()};
  BH_TRY(ingest.keep(*std::move(layer.blob), descriptor.digest));
  return ImportedLayer{.descriptor = std::move(descriptor),
                       .diff_id = std::move(layer.diff_id),
                       .tar_bytes = layer.tar_bytes};
}

/// Keeps a document of ours and returns its descriptor.
Result<oci::Descriptor> keep_document(store::Ingest& ingest, std::string_view media_type,
                                      const std::string& text) {
  Digest digest = BH_TRY(hash::digest_of(as_bytes(text)));
  oci::Descriptor descriptor{
      .media_type = std::string(media_type), .digest = std::move(digest), .size = text.size()};
  BH_TRY(ingest.keep(text, descriptor.digest));
  return descriptor;
}

Result<store::ImageRecord> import_into(store::Ingest& ingest, archive::InterruptibleReader& file,
                                       const std::string& name, const oci::Reference& reference,
                                       const oci::Platform& platform) {
  const ImportedLayer layer = BH_TRY(import_layer(ingest, file));
  const std::string created = format_rfc3339(wall_now());
  oci::ImageConfig config{.platform = platform,
                          .created = created,
                          .diff_ids = {layer.diff_id},
                          .history = {{.created = created, .comment = "imported from " + name}}};
  oci::Descriptor config_descriptor =
      BH_TRY(keep_document(ingest, oci::kOciConfig, config.serialise()));
  oci::Manifest manifest{.media_type = std::string(oci::kOciManifest),
                         .config = std::move(config_descriptor),
                         .layers = {layer.descriptor}};
  const oci::Descriptor target =
      BH_TRY(keep_document(ingest, oci::kOciManifest, manifest.serialise()));
  const Digest chain = BH_TRY(chain_id(config.diff_ids));
  store::ImageRecord record{.reference = reference.text(),
                            .target = target,
                            .manifest = target.digest,
                            .config = manifest.config.digest,
                            .chain = chain,
                            .platform = config.platform,
                            .size_bytes = layer.tar_bytes,
                            .created = created};
  BH_TRY(ingest.lock_chain(chain));
  if (BH_TRY(ingest.root(chain))) {
    BH_TRY(ingest.drop_root());
  }
  BH_TRY(ingest.publish(record,
                        {{target.digest, record.config}, {target.digest, layer.descriptor.digest}},
                        {{.blob = layer.descriptor.digest, .diff_id = layer.diff_id}}));
  return record;
}

}  // namespace

Result<store::ImageRecord> import_tar(store::Store& store, const std::string& path,
                                      const oci::Reference& reference,
                                      const FetchOptions& options) {
  if (reference.digest()) {
    return fail(ErrorCode::Invalid,
                "import as {}: a name with a digest cannot be given to a new "
                "image",
                reference.familiar());
  }
  const std::string name = path == "-" ? "standard input" : path;
  auto record = [&]() -> Result<store::ImageRecord> {
    store::Ingest ingest = BH_TRY(store.begin_ingest());
    os::UniqueFd fd;
    if (path != "-") {
      fd = BH_TRY(os::open_file(path, O_RDONLY));
    }
    const auto file =
        BH_TRY(archive::InterruptibleReader::create(fd.is_open() ? fd.get() : kStandardInput));
    return import_into(ingest, *file, name.substr(name.rfind('/') + 1), reference,
                       options.platform);
  }();
  if (!record) {
    return std::move(record).error().context("import " + name);
  }
  BH_TRY(store.collect_garbage());
  return record;
}

}  // namespace bulkhead::images
