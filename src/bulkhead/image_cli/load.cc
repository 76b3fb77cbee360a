#include "bulkhead/images/load.h"

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_lines.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

Result<> load(store::Store& store, const std::string& path, Verbosity verbosity) {
  ProgressLines progress(verbosity);
  for (const store::ImageRecord& record :
       BH_TRY(images::load(store, path, {.progress = &progress}))) {
    const auto reference = oci::Reference::parse(record.reference);
    BH_TRY(print("Loaded image: " + (reference ? reference->familiar() : record.reference) + "\n"));
  }
  return {};
}

Result<> import_image(store::Store& store, const std::string& path, const std::string& name) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(name));
  const store::ImageRecord record = BH_TRY(images::import_tar(store, path, reference));
  return print(record.config.text() + "\n");
}

}  // namespace bulkhead::image_cli
