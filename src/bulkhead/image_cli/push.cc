#include "bulkhead/images/push.h"

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/io.h"
#include "bulkhead/program/run.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

/// One line for each blob, on standard error.
class PushLines final : public images::Progress {
 public:
  explicit PushLines(Verbosity verbosity) : verbosity_(verbosity) {}

  void image(std::string_view reference) override { line(reference); }

  void layer_present(const Digest& digest) override {
    line(digest.short_text() + ": already there");
  }

  void layer_started(const Digest& digest, std::uint64_t size_bytes) override {
    line(digest.short_text() + ": sending " + format_size(size_bytes));
  }

  void layer_finished(const Digest& digest) override { line(digest.short_text() + ": done"); }

 private:
  void line(std::string_view text) const {
    if (verbosity_ == Verbosity::Plain) {
      std::string whole(text);
      whole += '\n';
      // Nobody there to read it is no reason to stop.
      static_cast<void>(os::write_all(STDERR_FILENO, as_bytes(whole)));
    }
  }

  Verbosity verbosity_;
};

}  // namespace

Result<> push(store::Store& store, const PushOptions& options) {
  images::PushOptions push{.all_platforms = options.all_platforms};
  for (const std::string& list : options.platforms) {
    for (const std::string_view text : split(list, ',')) {
      oci::Platform platform = BH_TRY(oci::Platform::parse(text));
      push.platforms.push_back(std::move(platform));
    }
  }
  if (!options.chunk_size.empty()) {
    push.chunk_bytes = BH_TRY(parse_size(options.chunk_size));
  }
  const oci::Reference destination = BH_TRY(
      oci::Reference::parse(options.destination.empty() ? options.image : options.destination));
  const auto transport =
      options.insecure ? registry::Transport::Insecure : registry::Transport::Secure;
  const std::shared_ptr<registry::Client> client = BH_TRY(registry::Client::create(
      destination, {.transport = transport, .access = registry::Access::Push}));
  PushLines progress(options.verbosity);
  push.progress = &progress;
  const oci::Descriptor top =
      BH_TRY(images::push(store, options.image, *client, push).context("push"));
  if (options.verbosity == Verbosity::Quiet) {
    return program::print(top.digest.text() + "\n");
  }
  return program::print("Digest: " + top.digest.text() + "\n" + destination.familiar() + "\n");
}

}  // namespace bulkhead::image_cli
