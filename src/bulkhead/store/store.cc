#include "bulkhead/store/store.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/container_uses.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::store {
namespace {

constexpr std::string_view kLockSuffix = ".lock";
constexpr std::string_view kRootSuffix = ".ext4";

/// The hex digits of what may be the beginning of an id.
std::optional<std::string_view> id_prefix(std::string_view text) {
  if (text.starts_with("sha256:")) {
    text.remove_prefix(7);
  }
  return is_id_prefix(text) ? std::optional(text) : std::nullopt;
}

std::string familiar(const std::string& reference) {
  const auto parsed = oci::Reference::parse(reference);
  return parsed ? parsed->familiar() : reference;
}

std::string familiar_list(const std::vector<ImageRecord>& records) {
  std::string list;
  for (const ImageRecord& record : records) {
    list += (list.empty() ? "" : ", ") + familiar(record.reference);
  }
  return list;
}

}  // namespace

Result<Store> Store::open(const config::Paths& paths) {
  Layout layout(paths);
  BH_TRY(layout.prepare());
  auto catalog = std::make_unique<Catalog>(BH_TRY(Catalog::open(layout.database())));
  return Store(std::move(layout), std::move(catalog));
}

/// All records that `text` names: one for a reference, any number for an id.
Result<std::vector<ImageRecord>> Store::matches(std::string_view text) {
  const auto reference = oci::Reference::parse(text);
  const std::optional<std::string_view> prefix = id_prefix(text);
  if (!reference && !prefix) {
    return reference.error();
  }
  std::vector<ImageRecord> found;
  if (reference) {
    if (auto record = BH_TRY(catalog_->by_reference(reference->text()))) {
      found.push_back(*std::move(record));
      return found;
    }
    if (reference->digest()) {
      // The same content under a tag of the same repository will do.
      for (ImageRecord& record : BH_TRY(catalog_->list())) {
        const auto other = oci::Reference::parse(record.reference);
        if (other && other->name() == reference->name() &&
            (record.target.digest == *reference->digest() ||
             record.manifest == *reference->digest())) {
          found.push_back(std::move(record));
          return found;
        }
      }
    }
  }
  if (prefix) {
    found = BH_TRY(catalog_->by_id_prefix(*prefix));
    const auto is_other = [&](const ImageRecord& record) {
      return record.config != found.front().config;
    };
    if (std::ranges::any_of(found, is_other)) {
      return fail(ErrorCode::Invalid, "image id {} is ambiguous: give more of its digits", text);
    }
  }
  return found;
}

Result<std::optional<ImageRecord>> Store::find_record(std::string_view text) {
  std::vector<ImageRecord> found = BH_TRY(matches(text));
  if (found.empty()) {
    return std::nullopt;
  }
  return std::move(found.front());
}

Result<std::optional<Image>> Store::find(std::string_view text) {
  // Before the look-up, so that what it finds cannot be collected any more.
  os::FileLock use =
      BH_TRY(os::FileLock::acquire(layout_.content_lock(), os::FileLock::Mode::Shared));
  std::optional<ImageRecord> record = BH_TRY(find_record(text));
  if (!record) {
    return std::nullopt;
  }
  const auto damaged = [&](const Error& error) {
    return fail(ErrorCode::Corrupt, "image {} is damaged: {}: pull or load it again",
                familiar(record->reference), error.message());
  };
  const auto content = read_blob(record->config, oci::kLargestDocument);
  if (!content) {
    return damaged(content.error());
  }
  auto config = oci::ImageConfig::parse(*content);
  if (!config) {
    return damaged(config.error());
  }
  std::string root = layout_.root(record->chain);
  const auto info = os::file_info(root);
  if (!info) {
    return damaged(info.error());
  }
  return Image{.record = *std::move(record),
               .config = *std::move(config),
               .root_path = std::move(root),
               .root_size_bytes = info->size,
               .use = std::move(use)};
}

Result<std::vector<ContainerUse>> Store::uses(const ImageRecord& record) {
  std::vector<ContainerUse> uses = BH_TRY(container_uses(layout_.containers()));
  std::erase_if(uses, [&](const ContainerUse& use) {
    return use.image_id.empty() ? use.root != layout_.root(record.chain)
                                : use.image_id != record.config.text();
  });
  return uses;
}

Result<Removal> Store::remove(std::string_view text, RemoveMode mode) {
  const std::vector<ImageRecord> found = BH_TRY(matches(text));
  if (found.empty()) {
    return fail(ErrorCode::NotFound, "image {}: not found", quote(text));
  }
  const ImageRecord& first = found.front();
  const bool is_by_id =
      id_prefix(text).has_value() &&
      (!oci::Reference::parse(text) || oci::Reference::parse(text)->text() != first.reference);
  if (is_by_id && found.size() > 1 && mode == RemoveMode::Careful) {
    return fail(ErrorCode::FailedPrecondition,
                "image {} has several names ({}): remove them by name, or use -f", text,
                familiar_list(found));
  }
  const std::vector<ImageRecord> same_id = BH_TRY(catalog_->by_id(first.config));
  const bool is_last = found.size() == same_id.size();
  const std::vector<ContainerUse> users = BH_TRY(uses(first));
  if (is_last && !users.empty() && mode == RemoveMode::Careful) {
    return fail(ErrorCode::FailedPrecondition,
                "image {} is being used by container {}: remove the container first, or use -f to "
                "remove only the name",
                familiar(first.reference), users.front().label());
  }
  Removal removal;
  for (const ImageRecord& record : found) {
    removal.untagged.push_back(record.reference);
  }
  BH_TRY(catalog_->remove(removal.untagged));
  if (is_last && users.empty()) {
    removal.deleted.push_back(first.config);
  }
  removal.freed_bytes = BH_TRY(collect());
  return removal;
}

Result<Ingest> Store::begin_ingest() {
  os::FileLock content =
      BH_TRY(os::FileLock::acquire(layout_.content_lock(), os::FileLock::Mode::Shared));
  BH_TRY(remove_leftovers());
  const std::string id = BH_TRY(make_id());
  std::string directory = layout_.ingest() + "/" + id.substr(0, 16);
  // The lock first: a directory whose lock nobody holds is a leftover.
  os::FileLock session = BH_TRY(os::FileLock::acquire(directory + std::string(kLockSuffix)));
  BH_TRY(os::make_directories(directory, 0700));
  return Ingest(layout_, *catalog_, std::move(directory), std::move(content), std::move(session));
}

Result<> Store::remove_leftovers() {
  for (const std::string& name : BH_TRY(os::list_directory(layout_.ingest()))) {
    std::string directory = layout_.ingest() + "/" + name;
    if (directory.ends_with(kLockSuffix)) {
      directory.resize(directory.size() - kLockSuffix.size());
    }
    const std::string lock_path = directory + std::string(kLockSuffix);
    const std::optional<os::FileLock> lock = BH_TRY(os::FileLock::try_acquire(lock_path));
    if (lock) {
      BH_TRY(os::remove_tree(directory));
      BH_TRY(os::remove_file(lock_path));
    }
  }
  return {};
}

/// Removes the files of a directory that are not named in `keep`, which is sorted.
Result<std::uint64_t> Store::sweep(const std::string& directory,
                                   const std::vector<std::string>& keep) {
  std::uint64_t freed = 0;
  for (const std::string& name : BH_TRY(os::list_directory(directory))) {
    if (std::ranges::binary_search(keep, name)) {
      continue;
    }
    const std::string path = directory + "/" + name;
    if (const auto info = os::file_info(path)) {
      freed += info->size;
    }
    BH_TRY(os::remove_file(path));
  }
  return freed;
}

Result<std::uint64_t> Store::collect() {
  const std::optional<os::FileLock> lock =
      BH_TRY(os::FileLock::try_acquire(layout_.content_lock()));
  if (!lock) {
    return 0;
  }
  BH_TRY(remove_leftovers());
  Catalog::Reachable reachable = BH_TRY(catalog_->reachable());
  std::vector<std::string> roots;
  for (const ContainerUse& use : BH_TRY(container_uses(layout_.containers()))) {
    const std::string name = use.root.substr(use.root.rfind('/') + 1);
    if (name.ends_with(kRootSuffix)) {
      reachable.chains.insert("sha256:" + name.substr(0, name.size() - kRootSuffix.size()));
    }
  }
  roots.reserve(reachable.chains.size());
  for (const std::string& chain : reachable.chains) {
    roots.push_back(chain.substr(chain.find(':') + 1) + std::string(kRootSuffix));
  }
  BH_TRY(catalog_->forget_all_but(reachable));
  std::uint64_t freed = BH_TRY(sweep(layout_.roots(), roots));
  for (const auto algorithm : {DigestAlgorithm::Sha256, DigestAlgorithm::Sha512}) {
    const std::string prefix = algorithm == DigestAlgorithm::Sha256 ? "sha256:" : "sha512:";
    std::vector<std::string> keep;
    for (const std::string& digest : reachable.blobs) {
      if (digest.starts_with(prefix)) {
        keep.push_back(digest.substr(prefix.size()));
      }
    }
    freed += BH_TRY(sweep(layout_.blob_directory(algorithm), keep));
  }
  return freed;
}

Result<> Store::collect_garbage() {
  if (BH_TRY(catalog_->has_garbage())) {
    static_cast<void>(BH_TRY(collect()));
  }
  return {};
}

Result<std::string> Store::read_blob(const Digest& digest, std::size_t limit) const {
  return os::read_file(layout_.blob(digest), limit);
}

}  // namespace bulkhead::store
