#include <memory>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/image_cli/progress_terminal.h"
#include "bulkhead/image_cli/registry_access.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/program/run.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/source.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

PlatformChoice or_default(PlatformChoice choice) {
  const auto platform = os::environment_variable("CONTAINER_DEFAULT_PLATFORM");
  const bool is_given =
      !choice.platforms.empty() || !choice.architecture.empty() || !choice.os.empty();
  if (platform && !platform->empty() && !is_given) {
    choice.platforms.push_back(*platform);
  }
  return choice;
}

}  // namespace

Result<> pull(store::Store& store, const PullOptions& options) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(options.reference));
  const registry::Transport transport = transport_of(options.insecure);
  const auto source = BH_TRY(registry::Source::create(reference, transport));
  const std::unique_ptr<images::Progress> progress =
      make_progress(options.progress, LayerWork::Unpacking);
  images::FetchOptions fetch = BH_TRY(fetch_options(or_default(options.platform)));
  fetch.progress = progress.get();
  fetch.layers_at_once = options.layers_at_once;
  const store::ImageRecord record =
      BH_TRY(images::fetch(store, *source, reference, fetch).context("pull"));
  if (options.verbosity == Verbosity::Quiet) {
    return program::print(record.config.text() + "\n");
  }
  return program::print("Digest: " + record.target.digest.text() + "\n" + reference.familiar() +
                        "\n");
}

}  // namespace bulkhead::image_cli
