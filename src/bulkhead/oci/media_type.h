#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bulkhead::oci {

// Source: OCI image specification, media-types.md; Docker image manifest version 2, schema 2.
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerIndex =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";

/// What kind of document a media type names.
enum class DocumentKind : std::uint8_t { Manifest, Index };

/// Nothing for anything that is neither.
std::optional<DocumentKind> document_kind(std::string_view media_type);

/// Docker's first manifest format, which we do not read.
bool is_schema1(std::string_view media_type);

bool is_image_config(std::string_view media_type);

/// A layer of a root file system: any compression, distributable or not.
bool is_layer(std::string_view media_type);

/// A layer that is not to be handed on: its bytes may be at some URL instead of in the registry. We
/// never fetch from there.
bool is_foreign_layer(std::string_view media_type);

}  // namespace bulkhead::oci
