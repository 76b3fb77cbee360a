#include "bulkhead/images/push.h"

#include <memory>

#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/progress_display.h"
#include "bulkhead/image_cli/progress_terminal.h"
#include "bulkhead/image_cli/registry_access.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/run.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

Result<> push(store::Store& store, const PushOptions& options) {
  images::PushOptions push{.which = BH_TRY(platform_selection(options.platform))};
  if (!options.chunk_size.empty()) {
    push.chunk_bytes = BH_TRY(parse_size(options.chunk_size));
  }
  const oci::Reference destination = BH_TRY(
      oci::Reference::parse(options.destination.empty() ? options.image : options.destination));
  const registry::Transport transport = transport_of(options.insecure);
  const std::shared_ptr<registry::Client> client = BH_TRY(registry::Client::create(
      destination, {.transport = transport, .access = registry::Access::Push}));
  const std::unique_ptr<images::Progress> progress =
      make_progress(options.progress, LayerWork::Sending);
  push.progress = progress.get();
  const oci::Descriptor top =
      BH_TRY(images::push(store, options.image, *client, push).context("push"));
  if (options.verbosity == Verbosity::Quiet) {
    return program::print(top.digest.text() + "\n");
  }
  return program::print("Digest: " + top.digest.text() + "\n" + destination.familiar() + "\n");
}

}  // namespace bulkhead::image_cli
