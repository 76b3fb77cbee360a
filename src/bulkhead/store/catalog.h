#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/db/database.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::store {

/// Which blob holds the digest of which: an index of manifests, a manifest of config and layers.
struct Edge {
  Digest parent;
  Digest child;
};

/// A layer of an unpacked root: a blob that inflates to its diff id, which was checked.
struct RootLayer {
  Digest blob;
  Digest diff_id;
};

/// The database of the store: references, which content they reach, and unpacked roots.
/// Errors of everything: those of db::Database.
class Catalog {
 public:
  static Result<Catalog> open(const std::string& path);

  /// One that is there already, for looking. Errors: NotFound, FailedPrecondition.
  static Result<Catalog> open_existing(const std::string& path);

  Result<std::vector<ImageRecord>> list();
  Result<std::optional<ImageRecord>> by_reference(const std::string& reference);
  /// All references to images whose id begins so.
  Result<std::vector<ImageRecord>> by_id_prefix(std::string_view hex);
  Result<std::vector<ImageRecord>> by_id(const Digest& config);

  /// What a layer chain measures, if it was unpacked.
  Result<std::optional<std::uint64_t>> root_bytes(const Digest& chain);

  /// The chain of some root that this is a layer of.
  Result<std::optional<Digest>> chain_with(const RootLayer& layer);

  /// Records an image, and the layers of its chain, in one transaction; a reference that named
  /// another before is moved.
  Result<> put(const ImageRecord& record, const std::vector<Edge>& edges,
               const std::vector<RootLayer>& layers);

  /// Removes references in one transaction; content that only they reached becomes garbage.
  Result<> remove(const std::vector<std::string>& references);

  /// The same, but only those that still name these images. Returns what was removed.
  Result<std::vector<ImageRecord>> remove_unchanged(const std::vector<ImageRecord>& records);

  /// Whether something was moved or removed since the last collection.
  Result<bool> has_garbage();

  /// Everything that references reach.
  struct Reachable {
    std::set<std::string> blobs;   ///< digests as text
    std::set<std::string> chains;  ///< digests as text
  };

  Result<Reachable> reachable();

  /// The same for one image alone.
  Result<Reachable> reachable(const ImageRecord& record);

  /// What SQLite finds wrong with its file; nothing when all is well.
  Result<std::optional<std::string>> integrity();

  /// Forgets edges, roots and their layers outside `keep`, and that there was garbage.
  Result<> forget_all_but(const Reachable& keep);

 private:
  explicit Catalog(db::Database database) : database_(std::move(database)) {}

  db::Database database_;
};

}  // namespace bulkhead::store
