#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/container_uses.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"

// What images there are. This module knows names, files and locks; what is inside the files is the
// business of `images`, so that a program that only looks an image up (`bulkhead run`) loads
// neither hashing nor archives nor a network.

namespace bulkhead::store {

enum class RemoveMode : std::uint8_t {
  Careful,  ///< refuses what a container uses, and an id with several names
  Force,    ///< removes the names anyway; content that a container needs stays
};

/// What a removal did.
struct Removal {
  std::vector<std::string> untagged;  ///< references
  std::vector<Digest> deleted;        ///< ids of images that have no name any more
  std::uint64_t freed_bytes = 0;      ///< 0 also when collecting was left to a session at work
};

/// What prune() takes besides content that nothing names.
enum class PruneMode : std::uint8_t {
  Dangling,  ///< nothing
  Unused,    ///< images that no container uses, too
};

/// What images take on disk.
struct Usage {
  std::uint64_t images = 0;             ///< different ids
  std::uint64_t active_images = 0;      ///< of them, those that containers use
  std::uint64_t bytes = 0;              ///< of blobs and roots, as allocated
  std::uint64_t reclaimable_bytes = 0;  ///< of them, what PruneMode::Unused would free
};

/// Belongs to one thread; any number of processes may have the same store open.
class Store {
 public:
  /// Makes what is absent. Errors: PermissionDenied, NoSpace, Corrupt.
  static Result<Store> open(const config::Paths& paths);

  /// By reference ("alpine", "quay.io/x@sha256:…") or by a unique beginning of the id (with or
  /// without "sha256:"). Nothing when there is none.
  /// Errors: Invalid for what could not be either and for an ambiguous id.
  Result<std::optional<ImageRecord>> find_record(std::string_view text);

  /// The same, ready to run. Errors: Unsupported for an artifact; Corrupt too when a file of it is
  /// missing: pull or load it again.
  Result<std::optional<Image>> find(std::string_view text);

  Result<std::vector<ImageRecord>> list() { return catalog_->list(); }

  /// Containers that stand on this image.
  Result<std::vector<ContainerUse>> uses(const ImageRecord& record);

  /// Removes a reference, or all references of an id, and collects.
  /// Errors: NotFound; FailedPrecondition as RemoveMode says, naming container or references.
  Result<Removal> remove(std::string_view text, RemoveMode mode);

  /// Gives an image, by reference or id, one more name, which another image may lose by that.
  /// Errors: NotFound; Invalid for a name with a digest.
  Result<ImageRecord> tag(std::string_view text, const oci::Reference& name);

  /// Takes one name away from an image. Errors: NotFound; FailedPrecondition for its only name.
  Result<ImageRecord> untag(const oci::Reference& name);

  /// Errors: those of container_uses().
  Result<Removal> prune(PruneMode mode);

  Result<Usage> usage();

  /// Everything in the database is consistent, and what it names is there. Returns what is not, for
  /// people to read.
  Result<std::vector<std::string>> check_catalog();

  /// All blobs that are on disk.
  [[nodiscard]] Result<std::vector<Digest>> blobs() const;

  /// Errors: NoSpace, Io.
  Result<Ingest> begin_ingest();

  /// Removes everything that neither a reference nor a container needs. Nothing happens while a
  /// session adds content: it will collect when it ends. Returns bytes freed.
  Result<std::uint64_t> collect();

  /// collect(), where something was moved or removed since the last time.
  Result<> collect_garbage();

  /// While it is held, nothing is collected.
  [[nodiscard]] Result<os::FileLock> hold_content() const;

  [[nodiscard]] bool has_blob(const Digest& digest) const;

  /// Errors: NotFound.
  [[nodiscard]] Result<os::UniqueFd> open_blob(const Digest& digest) const;

  /// Errors: NotFound, ResourceExhausted beyond `limit`.
  [[nodiscard]] Result<std::string> read_blob(const Digest& digest, std::size_t limit) const;

  [[nodiscard]] const Layout& layout() const { return layout_; }

 private:
  struct RecordsByUse {
    std::vector<ImageRecord> used;
    std::vector<ImageRecord> unused;
  };

  Store(Layout layout, std::unique_ptr<Catalog> catalog)
      : layout_(std::move(layout)), catalog_(std::move(catalog)) {}

  Result<std::vector<ImageRecord>> matches(std::string_view text);
  [[nodiscard]] bool stands_on(const ContainerUse& use, const ImageRecord& record) const;
  Result<RecordsByUse> records_by_use();
  Result<> keep_roots_of_containers(Catalog::Reachable& reachable);
  Result<> remove_leftovers();
  Result<std::uint64_t> sweep(const std::string& directory, const std::vector<std::string>& keep);

  Layout layout_;
  std::unique_ptr<Catalog>
      catalog_;  ///< stays where it is when the Store moves: sessions point at it
};

}  // namespace bulkhead::store
