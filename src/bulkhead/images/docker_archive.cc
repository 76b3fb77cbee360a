#include "bulkhead/images/docker_archive.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/archive_files.h"
#include "bulkhead/images/layout.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

constexpr std::size_t kMostImages = 4096;

Result<std::string_view> layer_media_type(const store::Ingest& ingest, const Digest& digest) {
  const os::UniqueFd fd = BH_TRY(ingest.open(digest));
  std::byte beginning[6] = {};
  const std::size_t count = BH_TRY(os::pread_some(fd.get(), beginning, 0));
  switch (archive::detect_compression(Bytes(beginning).first(count))) {
    case archive::Compression::Gzip:
      return oci::kOciLayerGzip;
    case archive::Compression::Zstd:
      return oci::kOciLayerZstd;
    default:
      return oci::kOciLayer;
  }
}

Result<NamedImage> make_image(const json::Fields& entry, const ArchiveFiles& files,
                              store::Ingest& ingest, const oci::Reference& reference) {
  std::string config_name;
  std::vector<std::string> layer_names;
  BH_TRY(entry.require("Config", config_name));
  BH_TRY(entry.read("Layers", layer_names));
  if (layer_names.size() > oci::kMostLayers) {
    return fail(ErrorCode::ResourceExhausted, "manifest.json: {} layers, at most {} are taken",
                layer_names.size(), oci::kMostLayers);
  }
  const ArchiveFile config = BH_TRY(files.file_or_link(config_name).context("Config"));
  oci::Manifest manifest{.media_type = std::string(oci::kOciManifest),
                         .config = {.media_type = std::string(oci::kOciConfig),
                                    .digest = config.digest,
                                    .size = config.size}};
  for (const std::string& name : layer_names) {
    const ArchiveFile layer = BH_TRY(files.file_or_link(name).context("Layers"));
    const std::string_view media_type = BH_TRY(layer_media_type(ingest, layer.digest));
    manifest.layers.push_back(
        {.media_type = std::string(media_type), .digest = layer.digest, .size = layer.size});
  }
  const std::string text = manifest.serialise();
  const Digest digest = BH_TRY(hash::digest_of(as_bytes(text)));
  BH_TRY(ingest.keep(text, digest));
  return NamedImage{reference,
                    {.media_type = manifest.media_type, .digest = digest, .size = text.size()}};
}

}  // namespace

Result<std::vector<NamedImage>> docker_archive_images(std::string_view manifest_json,
                                                      const ArchiveFiles& files,
                                                      store::Ingest& ingest,
                                                      std::string_view base_name) {
  const json::Value value = BH_TRY(json::parse(manifest_json, "manifest.json"));
  const json::Array* entries = value.as_array();
  if (entries == nullptr || entries->empty() || entries->size() > kMostImages) {
    return fail(ErrorCode::Invalid, "manifest.json: a list of images is expected");
  }
  std::vector<NamedImage> images;
  for (const json::Value& one : *entries) {
    const json::Fields entry = BH_TRY(json::Fields::create(one, "manifest.json"));
    std::vector<std::string> tags;
    BH_TRY(entry.read("RepoTags", tags));
    if (tags.empty()) {
      tags.push_back(std::string(base_name) + ":latest");
    }
    for (const std::string& tag : tags) {
      const oci::Reference reference =
          BH_TRY(oci::Reference::parse(tag).context("manifest.json: RepoTags"));
      images.push_back(BH_TRY(make_image(entry, files, ingest, reference)));
    }
  }
  return images;
}

}  // namespace bulkhead::images
