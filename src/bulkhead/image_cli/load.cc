#include "bulkhead/images/load.h"

#include <memory>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/image_cli/progress_terminal.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

Result<> load(store::Store& store, const LoadOptions& options) {
  const std::unique_ptr<images::Progress> progress =
      make_progress(options.progress, LayerWork::Unpacking);
  images::FetchOptions fetch = BH_TRY(fetch_options(options.platform));
  fetch.progress = progress.get();
  const std::vector<store::ImageRecord> records = BH_TRY(images::load(store, options.path, fetch));
  for (const store::ImageRecord& record : records) {
    const auto reference = oci::Reference::parse(record.reference);
    BH_TRY(program::print(
        "Loaded image: " + (reference ? reference->familiar() : record.reference) + "\n"));
  }
  return {};
}

Result<> import_image(store::Store& store, const ImportOptions& options) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(options.name));
  const images::FetchOptions fetch = BH_TRY(fetch_options(options.platform));
  const store::ImageRecord record =
      BH_TRY(images::import_tar(store, options.path, reference, fetch));
  return program::print(record.config.text() + "\n");
}

}  // namespace bulkhead::image_cli
