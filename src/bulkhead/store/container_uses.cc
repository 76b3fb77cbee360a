#include "bulkhead/store/container_uses.h"

#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/file.h"

namespace bulkhead::store {
namespace {

Result<ContainerUse> parse_use(const std::string& id, const std::string& text) {
  const json::Value value = BH_TRY(json::parse(text, "container record"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "container record"));
  ContainerUse use{.id = id};
  BH_TRY(fields.read("name", use.name));
  BH_TRY(fields.read("image_id", use.image_id));
  BH_TRY(fields.read("root", use.root));
  return use;
}

}  // namespace

std::string ContainerUse::label() const { return name.empty() ? id.substr(0, 12) : name; }

Result<std::vector<ContainerUse>> container_uses(const std::string& containers_directory) {
  auto ids = os::list_directory(containers_directory);
  if (!ids) {
    if (ids.error().code() == ErrorCode::NotFound) {
      return std::vector<ContainerUse>();
    }
    return std::move(ids).error();
  }
  std::vector<ContainerUse> uses;
  for (const std::string& id : *ids) {
    const std::string path = containers_directory + "/" + id + "/container.json";
    const auto text = os::read_file(path);
    if (!text) {
      if (!os::path_exists(path)) {
        continue;
      }
      return fail(ErrorCode::Corrupt, "{}: {}", path, text.error().message());
    }
    auto use = parse_use(id, *text);
    if (!use) {
      return fail(ErrorCode::Corrupt, "{}: {}", path, use.error().message());
    }
    uses.push_back(*std::move(use));
  }
  return uses;
}

}  // namespace bulkhead::store
