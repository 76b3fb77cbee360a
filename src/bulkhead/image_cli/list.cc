#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

/// Deeper than fetch() lets anything in.
constexpr int kDeepestIndex = 6;

struct Name {
  std::string repository;
  std::string tag;
};

/// As docker shows it; an image that was pulled by digest alone has no tag.
Name name_of(const store::ImageRecord& image) {
  const auto reference = oci::Reference::parse(image.reference);
  if (!reference) {
    return {.repository = image.reference, .tag = "<none>"};
  }
  return {.repository = reference->familiar_name(), .tag = reference->tag().value_or("<none>")};
}

std::string age_of(const store::ImageRecord& image, WallTime now) {
  const auto created = parse_rfc3339(image.created);
  if (!created) {
    return "N/A";
  }
  return format_age(*created, now) + " ago";
}

json::Value json_of(const store::ImageRecord& image) {
  const Name name = name_of(image);
  json::Value value;
  value.set("reference", image.reference);
  value.set("repository", name.repository);
  value.set("tag", name.tag);
  value.set("id", image.config.text());
  value.set("digest", image.target.digest.text());
  value.set("platform", image.platform.os.empty() ? "" : image.platform.text());
  value.set("created", image.created);
  value.set("size", image.size_bytes);
  value.set("artifact_type", image.artifact_type);
  return value;
}

/// What it is, for people: strangers' text is made printable.
std::string kind_of(const store::ImageRecord& image) {
  if (!image.artifact_type.empty()) {
    const std::string quoted = quote(image.artifact_type);
    return quoted.substr(1, quoted.size() - 2);
  }
  return image.chain ? "image" : "image, not unpacked";
}

/// Adds the platforms of an image that are kept beside the one that runs.
Result<> add_kept(const store::Store& store, const oci::Descriptor& descriptor,
                  const store::ImageRecord& image, int depth,
                  std::vector<store::ImageRecord>& rows) {
  if (depth > kDeepestIndex || !oci::document_kind(descriptor.media_type) ||
      oci::is_attestation(descriptor) || descriptor.digest == image.manifest ||
      !store.has_blob(descriptor.digest)) {
    return {};
  }
  const std::string content = BH_TRY(images::read_document(store, descriptor));
  const oci::Document document = BH_TRY(oci::parse_document(content, descriptor.media_type));
  if (const auto* index = std::get_if<oci::Index>(&document)) {
    for (const oci::Descriptor& entry : index->manifests) {
      BH_TRY(add_kept(store, entry, image, depth + 1, rows));
    }
    return {};
  }
  const auto& manifest = std::get<oci::Manifest>(document);
  if (oci::is_artifact(manifest) || !store.has_blob(manifest.config.digest)) {
    return {};
  }
  const std::string config_text = BH_TRY(images::read_document(store, manifest.config));
  const oci::ImageConfig config = BH_TRY(oci::ImageConfig::parse(config_text));
  store::ImageRecord row = image;
  row.manifest = descriptor.digest;
  row.config = manifest.config.digest;
  row.chain.reset();
  row.artifact_type.clear();
  row.platform = config.platform;
  row.created = config.created;
  row.size_bytes = 0;
  for (const oci::Descriptor& layer : manifest.layers) {
    row.size_bytes += layer.size;
  }
  rows.push_back(std::move(row));
  return {};
}

}  // namespace

std::string format_list(const std::vector<store::ImageRecord>& images, ListFormat format,
                        WallTime now) {
  if (format == ListFormat::Json) {
    json::Array array;
    for (const store::ImageRecord& image : images) {
      array.push_back(json_of(image));
    }
    return json::write(array, json::Style::Pretty);
  }
  if (format == ListFormat::Ids) {
    std::string text;
    std::set<std::string> seen;
    for (const store::ImageRecord& image : images) {
      if (seen.insert(image.config.text()).second) {
        text += image.config.short_text() + "\n";
      }
    }
    return text;
  }
  Table table({"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"});
  for (const store::ImageRecord& image : images) {
    Name name = name_of(image);
    table.add({std::move(name.repository), std::move(name.tag), image.config.short_text(),
               age_of(image, now), format_size(image.size_bytes)});
  }
  return table.text();
}

std::string format_platforms(const std::vector<store::ImageRecord>& images, ListFormat format,
                             WallTime now) {
  if (format == ListFormat::Json) {
    json::Array array;
    for (const store::ImageRecord& image : images) {
      json::Value value = json_of(image);
      value.set("manifest", image.manifest.text());
      value.set("unpacked", image.chain.has_value());
      array.push_back(std::move(value));
    }
    return json::write(array, json::Style::Pretty);
  }
  Table table({"REPOSITORY", "TAG", "IMAGE ID", "PLATFORM", "CREATED", "SIZE", "DIGEST", "MANIFEST",
               "KIND"});
  for (const store::ImageRecord& image : images) {
    Name name = name_of(image);
    table.add({std::move(name.repository), std::move(name.tag), image.config.short_text(),
               image.platform.os.empty() ? "-" : image.platform.text(), age_of(image, now),
               format_size(image.size_bytes), image.target.digest.text(), image.manifest.text(),
               kind_of(image)});
  }
  return table.text();
}

Result<> list(store::Store& store, ListFormat format, ListDetail detail) {
  if (detail == ListDetail::Names || format == ListFormat::Ids) {
    return program::print(format_list(BH_TRY(store.list()), format, wall_now()));
  }
  // Held until all is read, so that nothing is collected meanwhile.
  const os::FileLock use = BH_TRY(store.hold_content());
  std::vector<store::ImageRecord> rows;
  for (store::ImageRecord& record : BH_TRY(store.list())) {
    const store::ImageRecord own = rows.emplace_back(std::move(record));
    if (auto added = add_kept(store, own.target, own, 0, rows); !added) {
      log::warning("image {}: {}", own.reference, added.error().message());
    }
  }
  return program::print(format_platforms(rows, format, wall_now()));
}

}  // namespace bulkhead::image_cli
