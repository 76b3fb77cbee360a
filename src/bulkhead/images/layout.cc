#include "bulkhead/images/layout.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"

namespace bulkhead::images {
namespace {

/// The whole name that an entry carries, or "base:tag", or "base:latest".
Result<oci::Reference> name_of(const oci::Descriptor& entry, std::string_view base_name) {
  const auto annotation = [&](const char* key) -> std::string {
    const auto found = entry.annotations.find(key);
    return found == entry.annotations.end() ? "" : found->second;
  };
  for (const char* key : {"io.containerd.image.name", "com.apple.containerization.image.name"}) {
    if (const std::string name = annotation(key); !name.empty()) {
      return oci::Reference::parse(name);
    }
  }
  std::string name = annotation("org.opencontainers.image.ref.name");
  if (name.empty()) {
    name = "latest";
  }
  // The specification means a tag; many tools write whole names.
  if (oci::is_tag(name)) {
    name = std::string(base_name) + ":" + name;
  }
  return oci::Reference::parse(name);
}

}  // namespace

Result<> check_layout(std::string_view oci_layout) {
  const json::Value value = BH_TRY(json::parse(oci_layout, "oci-layout", {.bytes = 4096}));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "oci-layout"));
  std::string version;
  BH_TRY(fields.require("imageLayoutVersion", version));
  if (!version.starts_with("1.")) {
    return fail(ErrorCode::Unsupported, "oci-layout: version {} is not supported", quote(version));
  }
  return {};
}

Result<std::vector<NamedImage>> layout_images(const oci::Index& index, std::string_view base_name,
                                              const oci::Platform& platform) {
  std::map<std::string, std::vector<oci::Descriptor>> by_name;
  std::vector<oci::Reference> names;
  for (const oci::Descriptor& entry : index.manifests) {
    if (!oci::document_kind(entry.media_type) || oci::is_attestation(entry)) {
      continue;
    }
    oci::Reference name = BH_TRY(name_of(entry, base_name).context("index.json"));
    std::vector<oci::Descriptor>& entries = by_name[name.text()];
    if (entries.empty()) {
      names.push_back(name);
    }
    entries.push_back(entry);
  }
  std::vector<NamedImage> images;
  for (const oci::Reference& name : names) {
    std::vector<oci::Descriptor>& entries = by_name.at(name.text());
    if (entries.size() == 1) {
      images.push_back({name, std::move(entries.front())});
      continue;
    }
    oci::Index one{.media_type = std::string(oci::kOciIndex), .manifests = std::move(entries)};
    oci::Descriptor selected = BH_TRY(oci::select_platform(one, platform).context(name.familiar()));
    images.push_back({name, std::move(selected)});
  }
  if (images.empty()) {
    return fail(ErrorCode::Invalid, "index.json: it holds no image");
  }
  return images;
}

std::string base_name_for(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  path = path.substr(path.rfind('/') + 1);
  path = path.substr(0, path.find('.'));
  std::string name;
  for (const char c : path) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_plain || is_upper) {
      name += is_upper ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (name.ends_with('-')) {
    name.pop_back();
  }
  return name.empty() || name.size() > 64 ? "image" : name;
}

}  // namespace bulkhead::images
