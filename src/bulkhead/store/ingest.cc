#include "bulkhead/store/ingest.h"

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/sync.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::store {
namespace {

constexpr mode_t kPrivateFile = 0600;

/// With a hole, to a size that many roots have.
void pad_root(int root) {
  const auto space = os::file_space(root);
  const auto padded = space ? os::set_file_size(root, (space->size + kRootFileUnit - 1) /
                                                          kRootFileUnit * kRootFileUnit)
                            : Result<>(space.error());
  if (!padded) {
    // Under a limit for files: containers boot then, rather than start from a template.
    log::debug("root: {}", padded.error().message());
  }
}

}  // namespace

Ingest::Ingest(Layout layout, Catalog& catalog, std::string directory, os::FileLock content_lock,
               os::FileLock session_lock)
    : layout_(std::move(layout)),
      catalog_(&catalog),
      directory_(std::move(directory)),
      content_lock_(std::move(content_lock)),
      session_lock_(std::move(session_lock)) {}

Ingest::Ingest(Ingest&& other) noexcept
    : layout_(std::move(other.layout_)),
      catalog_(other.catalog_),
      directory_(std::exchange(other.directory_, {})),
      content_lock_(std::move(other.content_lock_)),
      session_lock_(std::move(other.session_lock_)),
      chain_lock_(std::exchange(other.chain_lock_, std::nullopt)),
      chain_lock_path_(std::exchange(other.chain_lock_path_, {})),
      has_root_(other.has_root_),
      blobs_made_(other.blobs_made_) {}

Ingest::~Ingest() {
  if (directory_.empty()) {
    return;
  }
  release_chain();
  if (auto removed = os::remove_tree(directory_); !removed) {
    // With its lock still there, the next session tries again.
    log::warning("image store: {}", removed.error().message());
    return;
  }
  static_cast<void>(os::remove_file(directory_ + ".lock"));
}

void Ingest::release_chain() {
  if (chain_lock_) {
    // While it is held: who waits for it finds the file gone and locks a new one.
    static_cast<void>(os::remove_file(chain_lock_path_));
    chain_lock_.reset();
  }
}

std::string Ingest::staged(const Digest& digest) const {
  return directory_ + "/" + std::string(digest.algorithm_name()) + "-" + digest.hex();
}

Result<BlobWriter> Ingest::create_blob() {
  std::string path = directory_ + "/blob-" + std::to_string(blobs_made_++);
  os::UniqueFd fd = BH_TRY(os::open_file(path, O_RDWR | O_CREAT | O_EXCL, kPrivateFile));
  return BlobWriter(std::move(fd), std::move(path));
}

Result<> Ingest::keep(BlobWriter writer, const Digest& digest) {
  if (has(digest)) {
    return {};
  }
  BH_TRY(os::rename_path(writer.path_, staged(digest)));
  writer.fd_.reset();
  return {};
}

Result<> Ingest::keep(const std::string& content, const Digest& digest) {
  if (has(digest)) {
    return {};
  }
  BlobWriter writer = BH_TRY(create_blob());
  BH_TRY(writer.write(as_bytes(content)));
  return keep(std::move(writer), digest);
}

bool Ingest::has(const Digest& digest) const {
  return os::path_exists(layout_.blob(digest)) || os::path_exists(staged(digest));
}

Result<os::UniqueFd> Ingest::open(const Digest& digest) const {
  auto fd = os::open_file(layout_.blob(digest), O_RDONLY);
  if (!fd && fd.error().code() == ErrorCode::NotFound) {
    fd = os::open_file(staged(digest), O_RDONLY);
  }
  if (!fd && fd.error().code() == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound, "blob {}: not found", digest.text());
  }
  return fd;
}

Result<std::string> Ingest::read(const Digest& digest, std::size_t limit) const {
  const os::UniqueFd fd = BH_TRY(open(digest));
  return os::read_to_end(fd.get(), limit).context("blob " + digest.text());
}

Result<> Ingest::lock_chain(const Digest& chain) {
  release_chain();
  chain_lock_path_ = layout_.roots() + "/" + chain.hex() + ".lock";
  chain_lock_ = BH_TRY(os::FileLock::acquire(chain_lock_path_));
  return {};
}

Result<std::optional<std::uint64_t>> Ingest::root(const Digest& chain) {
  if (!os::path_exists(layout_.root(chain))) {
    return std::nullopt;
  }
  return catalog_->root_bytes(chain);
}

Result<RootFiles> Ingest::create_root() {
  BH_TRY(drop_root());
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL;
  RootFiles files;
  files.image = BH_TRY(os::open_file(staged_root(), kFlags, kPrivateFile));
  files.record = BH_TRY(os::open_file(staged_record(), kFlags, kPrivateFile));
  has_root_ = true;
  return files;
}

Result<> Ingest::drop_root() {
  has_root_ = false;
  BH_TRY(os::remove_file(staged_record()));
  return os::remove_file(staged_root());
}

Result<std::optional<Digest>> Ingest::chain_with(const RootLayer& layer) {
  return catalog_->chain_with(layer);
}

Result<RootFiles> Ingest::open_root(const Digest& chain) const {
  RootFiles files;
  files.image = BH_TRY(os::open_file(layout_.root(chain), O_RDONLY));
  files.record = BH_TRY(os::open_file(layout_.root_record(chain), O_RDONLY));
  return files;
}

Result<> Ingest::move_into_store(const Digest& digest, std::set<DigestAlgorithm>& touched) {
  if (!os::path_exists(staged(digest))) {
    if (os::path_exists(layout_.blob(digest))) {
      return {};
    }
    return fail(ErrorCode::NotFound, "blob {}: not found", digest.text());
  }
  {
    const os::UniqueFd fd = BH_TRY(os::open_file(staged(digest), O_RDONLY));
    BH_TRY(os::sync_file(fd.get()).context("write blob"));
  }
  touched.insert(digest.algorithm());
  return os::rename_path(staged(digest), layout_.blob(digest));
}

Result<> Ingest::replace_root(const Digest& chain) {
  pad_root(BH_TRY(os::open_file(staged_root(), O_WRONLY)).get());
  for (const std::string& path : {staged_record(), staged_root()}) {
    const os::UniqueFd fd = BH_TRY(os::open_file(path, O_RDONLY));
    BH_TRY(os::sync_file(fd.get()).context("write root"));
  }
  // A record beside another root than its own is found out by whoever opens it.
  BH_TRY(os::rename_path(staged_record(), layout_.root_record(chain)));
  BH_TRY(os::rename_path(staged_root(), layout_.root(chain)));
  has_root_ = false;
  return os::sync_directory(layout_.roots());
}

Result<> Ingest::publish(const ImageRecord& record, const std::vector<Edge>& edges,
                         const std::vector<RootLayer>& layers) {
  std::set<DigestAlgorithm> touched;
  BH_TRY(move_into_store(record.target.digest, touched));
  for (const Edge& edge : edges) {
    BH_TRY(move_into_store(edge.child, touched));
  }
  for (const DigestAlgorithm algorithm : touched) {
    BH_TRY(os::sync_directory(layout_.blob_directory(algorithm)));
  }
  if (has_root_) {
    BH_CHECK(record.chain.has_value());
    BH_TRY(replace_root(*record.chain));
  }
  BH_TRY(catalog_->put(record, edges, layers));
  release_chain();
  return {};
}

}  // namespace bulkhead::store
