#include <string>
#include <tuple>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/verify.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

Result<> tag(store::Store& store, const std::string& image, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const oci::Reference reference = BH_TRY(oci::Reference::parse(name));
    std::ignore = BH_TRY(store.tag(image, reference));
  }
  return {};
}

Result<> untag(store::Store& store, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const oci::Reference reference = BH_TRY(oci::Reference::parse(name));
    std::ignore = BH_TRY(store.untag(reference));
    BH_TRY(program::print("Untagged: " + reference.familiar() + "\n"));
  }
  return {};
}

Result<> prune(store::Store& store, store::PruneMode mode) {
  const store::Removal removal = BH_TRY(store.prune(mode));
  return program::print(removal_text(removal) +
                        "Total reclaimed space: " + format_size(removal.freed_bytes) + "\n");
}

Result<> verify_store(store::Store& store, images::VerifyMode mode) {
  const images::VerifyReport report = BH_TRY(images::verify(store, mode));
  std::string text;
  for (const std::string& one : report.damage) {
    text += one + "\n";
  }
  text += "Verified: " + std::to_string(report.blobs) + " blobs, " + std::to_string(report.roots) +
          " roots, " + format_size(report.bytes) + "\n";
  BH_TRY(program::print(text));
  if (report.damage.empty()) {
    return {};
  }
  return fail(ErrorCode::Corrupt, "verify: {} things are damaged{}", report.damage.size(),
              mode == images::VerifyMode::Repair
                  ? "; what can be made from the rest was; pull or load the images again"
                  : ": `bulkhead image verify --repair` removes or remakes them");
}

}  // namespace bulkhead::image_cli
