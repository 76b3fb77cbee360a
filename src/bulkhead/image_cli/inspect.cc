#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

json::Value set_of(const std::vector<std::string>& names) {
  json::Value value{json::Object()};
  for (const std::string& name : names) {
    value.set(name, json::Object());
  }
  return value;
}

/// The image's process in docker's words.
json::Value config_value(const oci::ImageConfig& config) {
  json::Value labels{json::Object()};
  for (const auto& [name, text] : config.labels) {
    labels.set(name, text);
  }
  json::Value value;
  value.set("User", config.user);
  value.set("ExposedPorts", set_of(config.exposed_ports));
  value.set("Env", config.environment);
  value.set("Entrypoint", config.entrypoint);
  value.set("Cmd", config.command);
  value.set("Volumes", set_of(config.volumes));
  value.set("WorkingDir", config.working_directory);
  value.set("Labels", std::move(labels));
  value.set("StopSignal", config.stop_signal);
  return value;
}

/// What images and artifacts have in common.
json::Value value_of(const store::ImageRecord& record, const std::vector<std::string>& tags) {
  const auto reference = oci::Reference::parse(record.reference);
  json::Value value;
  value.set("Id", record.config.text());
  value.set("RepoTags", tags);
  value.set("RepoDigests",
            std::vector<std::string>{(reference ? reference->familiar_name() : record.reference) +
                                     "@" + record.target.digest.text()});
  value.set("Created", record.created);
  value.set("Size", record.size_bytes);
  value.set("Manifest", record.manifest.text());
  return value;
}

json::Value image_value(const store::Image& image, const std::vector<std::string>& tags) {
  const store::ImageRecord& record = image.record;
  json::Array layers;
  for (const Digest& digest : image.config.diff_ids) {
    layers.emplace_back(digest.text());
  }
  json::Value rootfs;
  rootfs.set("Type", "layers");
  rootfs.set("Layers", std::move(layers));
  json::Value value = value_of(record, tags);
  value.set("Author", image.config.author);
  value.set("Architecture", record.platform.architecture);
  value.set("Variant", record.platform.variant);
  value.set("Os", record.platform.os);
  value.set("Config", config_value(image.config));
  value.set("RootFS", std::move(rootfs));
  value.set("Root", image.root_path);
  return value;
}

json::Value annotations_value(const oci::Annotations& annotations) {
  json::Value value{json::Object()};
  for (const auto& [name, text] : annotations) {
    value.set(name, text);
  }
  return value;
}

json::Value blob_value(const oci::Descriptor& blob) {
  json::Value value;
  value.set("MediaType", blob.media_type);
  value.set("Digest", blob.digest.text());
  value.set("Size", blob.size);
  value.set("Annotations", annotations_value(blob.annotations));
  return value;
}

Result<json::Value> artifact_value(const store::Store& store, const store::ImageRecord& record,
                                   const std::vector<std::string>& tags) {
  const std::string content = BH_TRY(store.read_blob(record.manifest, oci::kLargestDocument));
  const oci::Manifest manifest = BH_TRY(oci::parse_manifest(content));
  json::Array blobs;
  for (const oci::Descriptor& layer : manifest.layers) {
    blobs.push_back(blob_value(layer));
  }
  json::Value value = value_of(record, tags);
  value.set("ArtifactType", record.artifact_type);
  value.set("Config", blob_value(manifest.config));
  value.set("Blobs", std::move(blobs));
  value.set("Annotations", annotations_value(manifest.annotations));
  if (manifest.subject) {
    value.set("Subject", manifest.subject->digest.text());
  }
  return value;
}

/// Nothing when there is no such image.
Result<std::optional<json::Value>> inspect_one(store::Store& store, const std::string& name) {
  // Held until all is read, so that nothing is collected meanwhile.
  const os::FileLock use = BH_TRY(store.hold_content());
  const std::optional<store::ImageRecord> record = BH_TRY(store.find_record(name));
  if (!record) {
    return std::nullopt;
  }
  std::vector<std::string> tags;
  for (const store::ImageRecord& other : BH_TRY(store.list())) {
    const auto reference = oci::Reference::parse(other.reference);
    if (other.config == record->config && reference) {
      tags.push_back(reference->familiar());
    }
  }
  if (!record->chain) {
    json::Value value = BH_TRY(artifact_value(store, *record, tags).context("image " + name));
    return value;
  }
  const std::optional<store::Image> image = BH_TRY(store.find(name));
  return image ? std::optional(image_value(*image, tags)) : std::nullopt;
}

}  // namespace

Result<> inspect(store::Store& store, const std::vector<std::string>& images) {
  json::Array array;
  std::optional<Error> failure;
  for (const std::string& name : images) {
    std::optional<json::Value> value = BH_TRY(inspect_one(store, name));
    if (!value) {
      if (!failure) {
        failure =
            fail(ErrorCode::NotFound,
                 "image {}: not found: `bulkhead image list` shows what there is", quote(name));
      }
      continue;
    }
    array.push_back(*std::move(value));
  }
  BH_TRY(program::print(json::write(array, json::Style::Pretty)));
  if (failure) {
    return *std::move(failure);
  }
  return {};
}

}  // namespace bulkhead::image_cli
