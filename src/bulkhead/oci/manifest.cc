#include "bulkhead/oci/manifest.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"

namespace bulkhead::oci {
namespace {

constexpr std::size_t kMostAnnotations = 1024;
constexpr std::size_t kMostUrls = 64;

Result<> check_count(const json::Fields& fields, std::string_view name, std::size_t most) {
  const json::Value* value = fields.find(name);
  if (value == nullptr) {
    return {};
  }
  const std::size_t count = value->as_array() != nullptr    ? value->as_array()->size()
                            : value->as_object() != nullptr ? value->as_object()->size()
                                                            : 0;
  if (count > most) {
    return fail(ErrorCode::ResourceExhausted, "{}: {} entries, at most {} are taken",
                fields.member_path(name), count, most);
  }
  return {};
}

Result<std::optional<Platform>> parse_platform(const json::Fields& fields) {
  const std::optional<json::Fields> platform = BH_TRY(fields.object("platform"));
  if (!platform) {
    return std::nullopt;
  }
  std::string os;
  std::string architecture;
  std::string variant;
  BH_TRY(platform->read("os", os));
  BH_TRY(platform->read("architecture", architecture));
  BH_TRY(platform->read("variant", variant));
  return Platform::normalised(std::move(os), std::move(architecture), std::move(variant));
}

Result<Descriptor> parse_descriptor(const json::Value& value, std::string path) {
  const json::Fields fields = BH_TRY(json::Fields::create(value, std::move(path)));
  std::string digest;
  BH_TRY(fields.require("digest", digest));
  Digest parsed = BH_TRY(Digest::parse(digest).context(fields.path()));
  Descriptor descriptor{.media_type = {}, .digest = std::move(parsed)};
  BH_TRY(fields.require("mediaType", descriptor.media_type));
  BH_TRY(fields.require("size", descriptor.size));
  if (descriptor.size > kLargestBlob) {
    return fail(ErrorCode::Invalid, "{}: size {} is out of range", fields.path(), descriptor.size);
  }
  BH_TRY(check_count(fields, "annotations", kMostAnnotations));
  BH_TRY(check_count(fields, "urls", kMostUrls));
  BH_TRY(fields.read("annotations", descriptor.annotations));
  BH_TRY(fields.read("urls", descriptor.urls));
  BH_TRY(fields.read("artifactType", descriptor.artifact_type));
  descriptor.platform = BH_TRY(parse_platform(fields));
  return descriptor;
}

Result<std::vector<Descriptor>> parse_descriptors(const json::Fields& fields, std::string_view name,
                                                  std::size_t most) {
  BH_TRY(check_count(fields, name, most));
  std::vector<Descriptor> descriptors;
  BH_TRY(fields.each(name, [&](const json::Value& value, std::string path) -> Result<> {
    descriptors.push_back(BH_TRY(parse_descriptor(value, std::move(path))));
    return {};
  }));
  return descriptors;
}

template <class T>
Result<> parse_common(const json::Fields& fields, T& document) {
  BH_TRY(check_count(fields, "annotations", kMostAnnotations));
  BH_TRY(fields.read("annotations", document.annotations));
  BH_TRY(fields.read("artifactType", document.artifact_type));
  if (const json::Value* subject = fields.find("subject")) {
    document.subject = BH_TRY(parse_descriptor(*subject, fields.member_path("subject")));
  }
  return {};
}

Result<Manifest> read_manifest(const json::Fields& fields, std::string_view media_type) {
  static const json::Value kNothing;
  const json::Value* config = fields.find("config");
  Descriptor config_descriptor = BH_TRY(
      parse_descriptor(config == nullptr ? kNothing : *config, fields.member_path("config")));
  std::vector<Descriptor> layers = BH_TRY(parse_descriptors(fields, "layers", kMostLayers));
  Manifest manifest{.media_type = std::string(media_type),
                    .config = std::move(config_descriptor),
                    .layers = std::move(layers)};
  BH_TRY(parse_common(fields, manifest));
  return manifest;
}

Result<Index> read_index(const json::Fields& fields, std::string_view media_type) {
  std::vector<Descriptor> manifests =
      BH_TRY(parse_descriptors(fields, "manifests", kMostIndexEntries));
  Index index{.media_type = std::string(media_type), .manifests = std::move(manifests)};
  BH_TRY(parse_common(fields, index));
  return index;
}

/// Whether a peer's media type says nothing about JSON documents.
bool is_generic(std::string_view media_type) {
  return media_type.empty() || media_type == "application/json" ||
         media_type == "application/octet-stream" || media_type == "text/plain";
}

/// Decides what the document is, from its own mediaType and from what it was called.
Result<std::string> agreed_media_type(const json::Fields& fields, std::string_view called) {
  std::string own;
  BH_TRY(fields.read("mediaType", own));
  const bool has_manifests = fields.has("manifests");
  const bool has_parts = fields.has("config") || fields.has("layers") || fields.has("fsLayers");
  if (has_manifests && has_parts) {
    return fail(ErrorCode::Invalid,
                "{}: it could be read both as a manifest and as an index, which is not acceptable",
                fields.path());
  }
  if (is_schema1(own) || is_schema1(called) || fields.has("fsLayers")) {
    return fail(ErrorCode::Unsupported,
                "{}: docker's schema 1 manifests are not supported: push the image again with a "
                "builder of this decade",
                fields.path());
  }
  if (!is_generic(called) && !own.empty() && own != called) {
    return fail(ErrorCode::Invalid, "{}: it calls itself {} but was called {}", fields.path(),
                quote(own), quote(called));
  }
  std::string media_type = is_generic(called) ? own : std::string(called);
  if (media_type.empty()) {
    media_type = has_manifests ? kOciIndex : kOciManifest;
  }
  const std::optional<DocumentKind> kind = document_kind(media_type);
  if (!kind) {
    return fail(ErrorCode::Unsupported, "{}: media type {} is neither an image nor an index",
                fields.path(), quote(media_type));
  }
  if (*kind == DocumentKind::Index ? has_parts : has_manifests) {
    return fail(ErrorCode::Invalid, "{}: its content is not that of {}", fields.path(), media_type);
  }
  return media_type;
}

json::Value annotations_value(const Annotations& annotations) {
  json::Value value{json::Object()};
  for (const auto& [name, text] : annotations) {
    value.set(name, text);
  }
  return value;
}

json::Value descriptor_value(const Descriptor& descriptor) {
  json::Value value;
  value.set("mediaType", descriptor.media_type);
  value.set("digest", descriptor.digest.text());
  value.set("size", descriptor.size);
  if (!descriptor.urls.empty()) {
    value.set("urls", descriptor.urls);
  }
  if (!descriptor.annotations.empty()) {
    value.set("annotations", annotations_value(descriptor.annotations));
  }
  if (descriptor.platform) {
    json::Value platform;
    platform.set("architecture", descriptor.platform->architecture);
    platform.set("os", descriptor.platform->os);
    if (!descriptor.platform->variant.empty()) {
      platform.set("variant", descriptor.platform->variant);
    }
    value.set("platform", std::move(platform));
  }
  if (!descriptor.artifact_type.empty()) {
    value.set("artifactType", descriptor.artifact_type);
  }
  return value;
}

json::Value descriptors_value(const std::vector<Descriptor>& descriptors) {
  json::Array array;
  for (const Descriptor& descriptor : descriptors) {
    array.push_back(descriptor_value(descriptor));
  }
  return array;
}

template <class T>
json::Value document_head(const T& document) {
  json::Value value;
  value.set("schemaVersion", 2);
  value.set("mediaType", document.media_type);
  if (!document.artifact_type.empty()) {
    value.set("artifactType", document.artifact_type);
  }
  return value;
}

template <class T>
void set_tail(json::Value& value, const T& document) {
  if (document.subject) {
    value.set("subject", descriptor_value(*document.subject));
  }
  if (!document.annotations.empty()) {
    value.set("annotations", annotations_value(document.annotations));
  }
}

}  // namespace

std::string Manifest::serialise() const {
  json::Value value = document_head(*this);
  value.set("config", descriptor_value(config));
  value.set("layers", descriptors_value(layers));
  set_tail(value, *this);
  return json::write(value);
}

std::string Index::serialise() const {
  json::Value value = document_head(*this);
  value.set("manifests", descriptors_value(manifests));
  set_tail(value, *this);
  return json::write(value);
}

Result<Document> parse_document(std::string_view text, std::string_view media_type) {
  const json::Value value =
      BH_TRY(json::parse(text, "image manifest", {.bytes = kLargestDocument}));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "image manifest"));
  int schema_version = 2;
  const std::string agreed = BH_TRY(agreed_media_type(fields, media_type));
  BH_TRY(fields.read("schemaVersion", schema_version));
  if (schema_version != 2) {
    return fail(ErrorCode::Unsupported, "image manifest: schema version {} is not supported",
                schema_version);
  }
  if (document_kind(agreed) == DocumentKind::Index) {
    Index index = BH_TRY(read_index(fields, agreed));
    return Result<Document>(std::move(index));
  }
  Manifest manifest = BH_TRY(read_manifest(fields, agreed));
  return Result<Document>(std::move(manifest));
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view media_type) {
  Document document = BH_TRY(parse_document(text, media_type));
  if (auto* manifest = std::get_if<Manifest>(&document)) {
    return std::move(*manifest);
  }
  return fail(ErrorCode::Invalid, "image manifest: it is an index, where a manifest is expected");
}

Result<Index> parse_index(std::string_view text, std::string_view media_type) {
  Document document = BH_TRY(parse_document(text, media_type));
  if (auto* index = std::get_if<Index>(&document)) {
    return std::move(*index);
  }
  return fail(ErrorCode::Invalid, "image index: it is a manifest, where an index is expected");
}

bool is_artifact(const Manifest& manifest) {
  return !is_image_config(manifest.config.media_type) ||
         (!manifest.artifact_type.empty() &&
          !std::ranges::all_of(manifest.layers, is_layer, &Descriptor::media_type));
}

std::string artifact_type_of(const Manifest& manifest) {
  return manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type;
}

bool is_attestation(const Descriptor& descriptor) {
  return descriptor.annotations.contains("vnd.docker.reference.type") ||
         (descriptor.platform && descriptor.platform->os == "unknown");
}

std::optional<Digest> attested_digest(const Descriptor& descriptor) {
  const auto about = descriptor.annotations.find(std::string(kAttestedDigest));
  auto digest = about == descriptor.annotations.end()
                    ? Result<Digest>(fail(ErrorCode::NotFound, ""))
                    : Digest::parse(about->second);
  return digest ? std::optional(*std::move(digest)) : std::nullopt;
}

Result<Descriptor> select_platform(const Index& index, const Platform& wanted) {
  std::vector<Descriptor> candidates = BH_TRY(select_candidates(index, wanted));
  return std::move(candidates.front());
}

Result<std::vector<Descriptor>> select_candidates(const Index& index, const Platform& wanted) {
  const auto usable = [](const Descriptor& descriptor) {
    return document_kind(descriptor.media_type).has_value() && !is_attestation(descriptor);
  };
  for (const Platform& platform : acceptable_platforms(wanted)) {
    for (const Descriptor& descriptor : index.manifests) {
      if (usable(descriptor) && descriptor.platform == platform) {
        return std::vector<Descriptor>{descriptor};
      }
    }
  }
  std::vector<Descriptor> unsaid;
  std::set<std::string> present;
  for (const Descriptor& descriptor : index.manifests) {
    if (usable(descriptor) && !descriptor.platform) {
      unsaid.push_back(descriptor);
    } else if (usable(descriptor)) {
      present.insert(descriptor.platform->text());
    }
  }
  if (!unsaid.empty()) {
    return unsaid;
  }
  static constexpr std::size_t kMostNamed = 12;
  std::string names;
  std::size_t named = 0;
  for (const std::string& name : present) {
    if (named++ == kMostNamed) {
      names += ", …";
      break;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  return fail(ErrorCode::NotFound, "no image for {}: there is {}", wanted.text(),
              names.empty() ? "none at all" : names);
}

}  // namespace bulkhead::oci
