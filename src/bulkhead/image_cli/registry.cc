#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/registry_access.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/registry/client.h"

// `bulkhead registry tags|catalog|referrers|delete`: what a registry holds.

namespace bulkhead::image_cli {
namespace {

Result<std::shared_ptr<registry::Client>> connect(const oci::Reference& reference, bool is_insecure,
                                                  registry::Access access) {
  return registry::Client::create(reference,
                                  {.transport = transport_of(is_insecure), .access = access});
}

/// A name as the registry gives it, or quoted where it could do something to a terminal.
std::string shown(const std::string& name) {
  const bool is_plain =
      std::ranges::all_of(name, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  return is_plain ? name : quote(name);
}

/// A name on each line, or {NAME: WHOSE, LIST: [...]}.
Result<> print_names(ListFormat format, std::string_view kind, const std::string& whose,
                     std::string_view list, const std::vector<std::string>& names) {
  std::string text;
  if (format == ListFormat::Json) {
    json::Value value;
    value.set(kind, whose);
    value.set(list, names);
    text = json::write(value, json::Style::Pretty);
  } else {
    for (const std::string& name : names) {
      text += shown(name) + "\n";
    }
  }
  return program::print(text);
}

json::Value json_of(const oci::Descriptor& referrer) {
  json::Value annotations{json::Object()};
  for (const auto& [name, text] : referrer.annotations) {
    annotations.set(name, text);
  }
  json::Value value;
  value.set("digest", referrer.digest.text());
  value.set("mediaType", referrer.media_type);
  value.set("artifactType", referrer.artifact_type);
  value.set("size", referrer.size);
  value.set("annotations", std::move(annotations));
  return value;
}

std::string referrers_text(const std::vector<oci::Descriptor>& referrers, ListFormat format) {
  if (format == ListFormat::Json) {
    json::Array array;
    for (const oci::Descriptor& referrer : referrers) {
      array.push_back(json_of(referrer));
    }
    return json::write(array, json::Style::Pretty);
  }
  Table table({"DIGEST", "ARTIFACT TYPE", "SIZE"});
  for (const oci::Descriptor& referrer : referrers) {
    table.add({referrer.digest.text(), shown(referrer.artifact_type), format_size(referrer.size)});
  }
  return table.text();
}

/// `latest` is not meant where nobody said it.
bool says_which(const oci::Reference& reference, const std::string& text) {
  return reference.digest() || text.ends_with(":" + reference.tag().value_or(""));
}

Result<> delete_one(const std::string& text, bool is_insecure) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(text));
  if (!says_which(reference, text)) {
    return fail(ErrorCode::Invalid, "{}: which one? {}:TAG or {}@DIGEST is expected", text,
                reference.familiar_name(), reference.familiar_name());
  }
  const auto client = BH_TRY(connect(reference, is_insecure, registry::Access::Delete));
  auto deleted = client->delete_manifest(reference.tag_or_digest());
  if (!deleted && deleted.error().code() == ErrorCode::Unsupported && !reference.digest()) {
    const oci::Descriptor manifest = BH_TRY(client->resolve(*reference.tag()));
    return fail(ErrorCode::Unsupported,
                "{}; `bulkhead registry delete {}@{}` deletes the manifest with all its tags",
                deleted.error().message(), reference.familiar_name(), manifest.digest.text());
  }
  return deleted;
}

}  // namespace

Result<> list_tags(const RegistryOptions& options) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(options.name));
  const auto client = BH_TRY(connect(reference, options.insecure, registry::Access::Pull));
  return print_names(options.format, "repository", reference.name(), "tags",
                     BH_TRY(client->tags()));
}

Result<> list_repositories(const RegistryOptions& options) {
  const oci::Reference reference = BH_TRY(registry_reference(options.name));
  const auto client = BH_TRY(connect(reference, options.insecure, registry::Access::Pull));
  return print_names(options.format, "registry", reference.registry(), "repositories",
                     BH_TRY(client->catalog(options.filter)));
}

Result<> list_referrers(const RegistryOptions& options) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(options.name));
  const auto client = BH_TRY(connect(reference, options.insecure, registry::Access::Pull));
  const oci::Descriptor subject = BH_TRY(client->resolve(reference.tag_or_digest()));
  const std::vector<oci::Descriptor> referrers =
      BH_TRY(client->referrers(subject.digest, options.filter));
  return program::print(referrers_text(referrers, options.format));
}

Result<> delete_references(const std::vector<std::string>& references, bool is_insecure) {
  for (const std::string& reference : references) {
    BH_TRY(delete_one(reference, is_insecure).context("delete"));
    BH_TRY(program::print("Deleted: " + reference + "\n"));
  }
  return {};
}

}  // namespace bulkhead::image_cli
