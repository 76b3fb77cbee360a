#include "bulkhead/images/push.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
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
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {

namespace {

Result<> push_one(store::Store& store, const PushOptions& options, const std::string& image,
                  const oci::Reference& destination, images::PushOptions push) {
  const registry::Transport transport = transport_of(options.insecure);
  const std::shared_ptr<registry::Client> client = BH_TRY(registry::Client::create(
      destination, {.transport = transport, .access = registry::Access::Push}));
  const std::unique_ptr<images::Progress> progress =
      make_progress(options.progress, LayerWork::Sending);
  push.progress = progress.get();
  const oci::Descriptor top = BH_TRY(images::push(store, image, *client, push).context("push"));
  if (options.verbosity == Verbosity::Quiet) {
    return program::print(top.digest.text() + "\n");
  }
  return program::print("Digest: " + top.digest.text() + "\n" + destination.familiar() + "\n");
}

/// A name of a repository alone, to which tags come.
Result<oci::Reference> parse_repository(const std::string& text) {
  oci::Reference reference = BH_TRY(oci::Reference::parse(text));
  if (reference.digest() || text.ends_with(":" + reference.tag().value_or(""))) {
    return fail(ErrorCode::Invalid, "push: {}: with --all-tags a repository without a tag is meant",
                quote(text));
  }
  return reference;
}

/// Each tag is tried; the first failure is the command's.
Result<> push_all_tags(store::Store& store, const PushOptions& options,
                       const images::PushOptions& push) {
  const oci::Reference repository = BH_TRY(parse_repository(options.image));
  const oci::Reference to =
      options.destination.empty() ? repository : BH_TRY(parse_repository(options.destination));
  std::optional<Error> failure;
  bool is_any = false;
  for (const store::ImageRecord& record : BH_TRY(store.list())) {
    const auto reference = oci::Reference::parse(record.reference);
    if (!reference || reference->name() != repository.name() || !reference->tag() ||
        reference->digest()) {
      continue;
    }
    is_any = true;
    const oci::Reference destination =
        BH_TRY(oci::Reference::parse(to.name() + ":" + *reference->tag()));
    auto pushed = push_one(store, options, record.reference, destination, push);
    if (!pushed && !failure) {
      failure = std::move(pushed).error();
    } else if (!pushed) {
      log::error("{}", pushed.error().message());
    }
  }
  if (failure) {
    return *std::move(failure);
  }
  if (!is_any) {
    return fail(ErrorCode::NotFound, "push: no tag of {} is here", repository.familiar_name());
  }
  return {};
}

}  // namespace

Result<> push(store::Store& store, const PushOptions& options) {
  images::PushOptions push{.which = BH_TRY(platform_selection(options.platform))};
  push.at_once = options.blobs_at_once;
  if (!options.chunk_size.empty()) {
    push.chunk_bytes = BH_TRY(parse_size(options.chunk_size));
  }
  if (options.tags == PushedTags::All) {
    return push_all_tags(store, options, push);
  }
  const oci::Reference destination = BH_TRY(
      oci::Reference::parse(options.destination.empty() ? options.image : options.destination));
  return push_one(store, options, options.image, destination, std::move(push));
}

}  // namespace bulkhead::image_cli
