
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

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
  value.set("platform", image.platform.text());
  value.set("created", image.created);
  value.set("size", image.size_bytes);
  return value;
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

Result<> list(store::Store& store, ListFormat format) {
  return program::print(format_list(BH_TRY(store.list()), format, wall_now()));
}

}  // namespace bulkhead::image_cli
