#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

std::string removal_text(const store::Removal& removal) {
  std::string text;
  for (const std::string& reference : removal.untagged) {
    const auto parsed = oci::Reference::parse(reference);
    text += "Untagged: " + (parsed ? parsed->familiar() : reference) + "\n";
  }
  for (const Digest& id : removal.deleted) {
    text += "Deleted: " + id.text() + "\n";
  }
  return text;
}

/// As docker does, each image is tried; the first failure is the command's.
Result<> remove(store::Store& store, const std::vector<std::string>& images,
                store::RemoveMode mode) {
  std::optional<Error> failure;
  for (const std::string& image : images) {
    auto removal = store.remove(image, mode);
    if (!removal) {
      if (mode == store::RemoveMode::Force && removal.error().code() == ErrorCode::NotFound) {
        continue;
      }
      if (!failure) {
        failure = std::move(removal).error();
      } else {
        log::error("{}", removal.error().message());
      }
      continue;
    }
    BH_TRY(program::print(removal_text(*removal)));
  }
  if (failure) {
    return *std::move(failure);
  }
  return {};
}

Result<> remove_all(store::Store& store, store::RemoveMode mode) {
  std::vector<std::string> names;
  for (const store::ImageRecord& record : BH_TRY(store.list())) {
    names.push_back(record.reference);
  }
  return remove(store, names, mode);
}

}  // namespace bulkhead::image_cli
