#include "bulkhead/store/store.h"

#include <fcntl.h>

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
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/container_uses.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::store {
namespace {

constexpr std::string_view kLockSuffix = ".lock";

/// The hex digits of what may be the beginning of an id.
std::optional<std::string_view> id_prefix(std::string_view text) {
  if (text.starts_with("sha256:")) {
    text.remove_prefix(7);
  }
  return is_id_prefix(text) ? std::optional(text) : std::nullopt;
}

std::string familiar_list(const std::vector<ImageRecord>& records) {
  std::string list;
  for (const ImageRecord& record : records) {
    list += (list.empty() ? "" : ", ") + oci::familiar(record.reference);
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
  os::FileLock use = BH_TRY(hold_content());
  std::optional<ImageRecord> record = BH_TRY(find_record(text));
  if (!record) {
    return std::nullopt;
  }
  if (!record->chain) {
    return fail(ErrorCode::Unsupported,
                "image {} is no container image but an artifact of type {}: it can be saved and "
                "pushed, but not run",
                oci::familiar(record->reference), quote(record->artifact_type));
  }
  const auto damaged = [&](const Error& error) {
    return fail(ErrorCode::Corrupt, "image {} is damaged: {}: pull or load it again",
                oci::familiar(record->reference), error.message());
  };
  const auto content = read_blob(record->config, oci::kLargestDocument);
  if (!content) {
    return damaged(content.error());
  }
  auto config = oci::ImageConfig::parse(*content);
  if (!config) {
    return damaged(config.error());
  }
  std::string root = layout_.root(*record->chain);
  if (const auto info = os::file_info(root); !info) {
    return damaged(info.error());
  }
  return Image{.record = *std::move(record),
               .config = *std::move(config),
               .root_path = std::move(root),
               .use = std::move(use)};
}

Result<std::vector<ContainerUse>> Store::uses(const ImageRecord& record) {
  std::vector<ContainerUse> uses = BH_TRY(container_uses(layout_.containers()));
  std::erase_if(uses, [&](const ContainerUse& use) { return !stands_on(use, record); });
  return uses;
}

bool Store::stands_on(const ContainerUse& use, const ImageRecord& record) const {
  if (!record.chain) {
    return false;
  }
  return use.image_id.empty() ? use.root == layout_.root(*record.chain)
                              : use.image_id == record.config.text();
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
                oci::familiar(first.reference), users.front().label());
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

Result<ImageRecord> Store::tag(std::string_view text, const oci::Reference& name) {
  if (name.digest()) {
    return fail(ErrorCode::Invalid, "tag {}: a name with a digest cannot be given",
                name.familiar());
  }
  ImageRecord named = BH_TRY([&]() -> Result<ImageRecord> {
    // Until it has its name, nobody may collect it.
    const os::FileLock use = BH_TRY(hold_content());
    std::optional<ImageRecord> record = BH_TRY(find_record(text));
    if (!record) {
      return fail(ErrorCode::NotFound, "image {}: not found", quote(text));
    }
    record->reference = name.text();
    BH_TRY(catalog_->put(*record, {}, {}));
    return *std::move(record);
  }());
  BH_TRY(collect_garbage());
  return named;
}

Result<ImageRecord> Store::untag(const oci::Reference& name) {
  std::optional<ImageRecord> record = BH_TRY(catalog_->by_reference(name.text()));
  if (!record) {
    return fail(ErrorCode::NotFound, "image {}: not found", name.familiar());
  }
  const std::vector<ImageRecord> same = BH_TRY(catalog_->by_id(record->config));
  if (same.size() == 1) {
    return fail(ErrorCode::FailedPrecondition,
                "image {}: it has no other name: `bulkhead image rm` removes the image",
                name.familiar());
  }
  BH_TRY(catalog_->remove({record->reference}));
  BH_TRY(collect_garbage());
  return *std::move(record);
}

/// All images, by whether a container stands on them.
Result<Store::RecordsByUse> Store::records_by_use() {
  const std::vector<ContainerUse> uses = BH_TRY(container_uses(layout_.containers()));
  RecordsByUse records;
  for (ImageRecord& record : BH_TRY(catalog_->list())) {
    const bool is_used =
        std::ranges::any_of(uses, [&](const ContainerUse& use) { return stands_on(use, record); });
    (is_used ? records.used : records.unused).push_back(std::move(record));
  }
  return records;
}

Result<Removal> Store::prune(PruneMode mode) {
  Removal removal;
  if (mode == PruneMode::Unused) {
    const std::vector<ImageRecord> unused = BH_TRY(records_by_use()).unused;
    std::set<std::string> deleted;
    // A name that was pulled anew meanwhile stays.
    for (const ImageRecord& record : BH_TRY(catalog_->remove_unchanged(unused))) {
      removal.untagged.push_back(record.reference);
      if (deleted.insert(record.config.text()).second) {
        removal.deleted.push_back(record.config);
      }
    }
  }
  removal.freed_bytes = BH_TRY(collect());
  return removal;
}

Result<Usage> Store::usage() {
  Usage usage;
  Catalog::Reachable kept;
  const RecordsByUse records = BH_TRY(records_by_use());
  std::set<std::string> active;
  for (const ImageRecord& record : records.used) {
    active.insert(record.config.text());
    Catalog::Reachable one = BH_TRY(catalog_->reachable(record));
    kept.blobs.merge(one.blobs);
    kept.chains.merge(one.chains);
  }
  BH_TRY(keep_roots_of_containers(kept));
  // Names of one image are all used or all unused.
  std::set<std::string> idle;
  for (const ImageRecord& record : records.unused) {
    idle.insert(record.config.text());
  }
  usage.images = active.size() + idle.size();
  usage.active_images = active.size();
  const auto add = [&](const std::string& path, bool is_kept) {
    // One that went meanwhile takes nothing.
    const auto fd = os::open_file(path, O_RDONLY);
    const auto space = fd ? os::file_space(fd->get()) : Result<os::FileSpace>(fd.error());
    if (space) {
      usage.bytes += space->allocated_bytes;
      usage.reclaimable_bytes += is_kept ? 0 : space->allocated_bytes;
    }
  };
  for (const Digest& digest : BH_TRY(blobs())) {
    add(layout_.blob(digest), kept.blobs.contains(digest.text()));
  }
  for (const std::string& name : BH_TRY(os::list_directory(layout_.roots()))) {
    if (name.ends_with(kRootSuffix) || name.ends_with(kRecordSuffix)) {
      const std::string hex = name.substr(0, name.rfind('.'));
      add(layout_.roots() + "/" + name, kept.chains.contains("sha256:" + hex));
    }
  }
  return usage;
}

Result<std::vector<std::string>> Store::check_catalog() {
  std::vector<std::string> wrong;
  if (const std::optional<std::string> message = BH_TRY(catalog_->integrity())) {
    wrong.push_back("database: " + *message);
  }
  const Catalog::Reachable reachable = BH_TRY(catalog_->reachable());
  for (const std::string& text : reachable.blobs) {
    const auto digest = Digest::parse(text);
    if (!digest || !has_blob(*digest)) {
      wrong.push_back("blob " + text + ": missing");
    }
  }
  for (const std::string& text : reachable.chains) {
    const auto chain = Digest::parse(text);
    if (!chain || !os::path_exists(layout_.root(*chain))) {
      wrong.push_back("root " + text + ": missing");
    }
  }
  return wrong;
}

Result<std::vector<Digest>> Store::blobs() const {
  std::vector<Digest> digests;
  for (const auto algorithm : {DigestAlgorithm::Sha256, DigestAlgorithm::Sha512}) {
    const std::string_view prefix = algorithm == DigestAlgorithm::Sha256 ? "sha256:" : "sha512:";
    for (const std::string& name : BH_TRY(os::list_directory(layout_.blob_directory(algorithm)))) {
      // Anything else in there is nobody's; the next collection takes it.
      if (auto digest = Digest::parse(std::string(prefix) + name)) {
        digests.push_back(*std::move(digest));
      }
    }
  }
  return digests;
}

Result<Ingest> Store::begin_ingest() {
  os::FileLock content = BH_TRY(hold_content());
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

/// Adds the roots that containers boot from.
Result<> Store::keep_roots_of_containers(Catalog::Reachable& reachable) {
  for (const ContainerUse& use : BH_TRY(container_uses(layout_.containers()))) {
    const std::string name = use.root.substr(use.root.rfind('/') + 1);
    if (name.ends_with(kRootSuffix)) {
      reachable.chains.insert("sha256:" + name.substr(0, name.size() - kRootSuffix.size()));
    }
  }
  return {};
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
  BH_TRY(keep_roots_of_containers(reachable));
  roots.reserve(2 * reachable.chains.size());
  for (const std::string& chain : reachable.chains) {
    for (const std::string_view suffix : {kRootSuffix, kRecordSuffix}) {
      roots.push_back(chain.substr(chain.find(':') + 1) + std::string(suffix));
    }
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

Result<os::FileLock> Store::hold_content() const {
  return os::FileLock::acquire(layout_.content_lock(), os::FileLock::Mode::Shared);
}

bool Store::has_blob(const Digest& digest) const { return os::path_exists(layout_.blob(digest)); }

Result<os::UniqueFd> Store::open_blob(const Digest& digest) const {
  return os::open_file(layout_.blob(digest), O_RDONLY);
}

Result<std::string> Store::read_blob(const Digest& digest, std::size_t limit) const {
  return os::read_file(layout_.blob(digest), limit);
}

}  // namespace bulkhead::store
