#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::store {

/// The files of a root in the making.
struct RootFiles {
  os::UniqueFd image;
  os::UniqueFd record;  ///< of its layers
};

/// Adding images. Everything is written into a directory of this session's own and moved into the
/// store by publish(); what was not published goes with the session. If the process dies, the next
/// session removes what it left. While a session lives, nothing is collected.
///
/// The store does not hash: who keeps a blob says that its digest was verified.
class Ingest {
 public:
  Ingest(Ingest&& other) noexcept;
  Ingest& operator=(Ingest&&) = delete;
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;
  ~Ingest();

  /// Errors: NoSpace, Io.
  Result<BlobWriter> create_blob();

  /// Keeps a blob whose digest the caller computed while it wrote. One that is there already is
  /// dropped.
  Result<> keep(BlobWriter writer, const Digest& digest);

  /// The same for content in memory.
  Result<> keep(const std::string& content, const Digest& digest);

  /// In this session or in the store.
  [[nodiscard]] bool has(const Digest& digest) const;

  /// Errors: NotFound.
  Result<os::UniqueFd> open(const Digest& digest) const;

  /// Errors: NotFound, ResourceExhausted beyond `limit`.
  Result<std::string> read(const Digest& digest, std::size_t limit) const;

  /// Waits for other sessions that unpack the same chain and holds them off until publish(), the
  /// next call or the end. Afterwards look at root() again.
  Result<> lock_chain(const Digest& chain);

  /// What an unpacked chain measures; nothing when it is not there.
  Result<std::optional<std::uint64_t>> root(const Digest& chain);

  /// Empty files for a root, which become `record.chain`'s with publish(); there must be one then.
  /// Earlier ones of this session that were not published are dropped.
  Result<RootFiles> create_root();
  Result<> drop_root();

  /// The chain of some root that has this layer; nothing when there is none.
  Result<std::optional<Digest>> chain_with(const RootLayer& layer);

  /// The files of a root, for reading. Errors: NotFound.
  [[nodiscard]] Result<RootFiles> open_root(const Digest& chain) const;

  /// Puts this session's root in the place of the one that is there, which was found damaged.
  Result<> replace_root(const Digest& chain);

  /// Moves everything that `record` and `edges` name from the session into the store, and names it.
  /// After it the image is there, whatever happens. `layers`: of its root, in any order.
  Result<> publish(const ImageRecord& record, const std::vector<Edge>& edges,
                   const std::vector<RootLayer>& layers);

 private:
  friend class Store;

  Ingest(Layout layout, Catalog& catalog, std::string directory, os::FileLock content_lock,
         os::FileLock session_lock);

  void release_chain();

  [[nodiscard]] std::string staged(const Digest& digest) const;

  [[nodiscard]] std::string staged_root() const { return directory_ + "/root"; }

  [[nodiscard]] std::string staged_record() const { return directory_ + "/root-record"; }

  Result<> move_into_store(const Digest& digest, std::set<DigestAlgorithm>& touched);

  Layout layout_;
  Catalog* catalog_;
  std::string directory_;  ///< empty after a move
  os::FileLock content_lock_;
  os::FileLock session_lock_;
  std::optional<os::FileLock> chain_lock_;
  std::string chain_lock_path_;
  bool has_root_ = false;
  std::uint64_t blobs_made_ = 0;
};

}  // namespace bulkhead::store
