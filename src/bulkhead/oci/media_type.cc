#include "bulkhead/oci/media_type.h"

#include <optional>
#include <string_view>

namespace bulkhead::oci {
namespace {

constexpr std::string_view kOciForeignLayer =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";
constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
constexpr std::string_view kDockerForeignLayer =
    "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// "base", "base+gzip", "base.gzip" and the like.
bool is_compressed_form(std::string_view media_type, std::string_view base) {
  if (!media_type.starts_with(base)) {
    return false;
  }
  const std::string_view rest = media_type.substr(base.size());
  return rest.empty() || rest == "+gzip" || rest == ".gzip" || rest == "+zstd" || rest == ".zstd" ||
         rest == "+bzip2" || rest == "+xz";
}

}  // namespace

std::optional<DocumentKind> document_kind(std::string_view media_type) {
  if (media_type == kOciManifest || media_type == kDockerManifest) {
    return DocumentKind::Manifest;
  }
  if (media_type == kOciIndex || media_type == kDockerIndex) {
    return DocumentKind::Index;
  }
  return std::nullopt;
}

bool is_schema1(std::string_view media_type) {
  return media_type.starts_with("application/vnd.docker.distribution.manifest.v1+");
}

bool is_image_config(std::string_view media_type) {
  return media_type == kOciConfig || media_type == kDockerConfig;
}

bool is_foreign_layer(std::string_view media_type) {
  return is_compressed_form(media_type, kOciForeignLayer) ||
         is_compressed_form(media_type, kDockerForeignLayer);
}

bool is_layer(std::string_view media_type) {
  return is_compressed_form(media_type, kOciLayer) ||
         is_compressed_form(media_type, kDockerLayer) || is_foreign_layer(media_type);
}

}  // namespace bulkhead::oci
